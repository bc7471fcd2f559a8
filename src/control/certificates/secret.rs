//! The secret that marks the tokens of QUIC: made once, kept in the state directory. So a node that
//! was started anew can tell the clients of the one before that their connections are over.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::private::write_private;

/// Its file in the state directory: the bytes themselves.
const FILE: &str = "quic.secret";

/// The one that is kept; else `fresh`, which is kept from now on where that can be.
pub(super) fn keep(state_dir: Option<&Path>, fresh: [u8; 32]) -> [u8; 32] {
    let Some(path) = state_dir.map(|state_dir| state_dir.join(FILE)) else {
        return fresh;
    };
    let kept = match fs::read(&path).map(|bytes| bytes.try_into().ok()) {
        Ok(Some(kept)) => Ok(kept),
        // One of another length is none of ours, and of no use.
        Ok(None) => write_private(&path, &fresh).map(|()| fresh),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write_private(&path, &fresh).map(|()| fresh)
        }
        Err(error) => Err(error),
    };
    kept.unwrap_or_else(|error| {
        let file = path.display();
        tracing::warn!(%file, %error, "clients of QUIC will not be told of a restart");
        fresh
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_kept() {
        let folder = format!("corecast-quic-secret-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        assert_eq!(keep(None, [1; 32]), [1; 32]);
        assert_eq!(keep(Some(&folder), [2; 32]), [2; 32]);
        assert_eq!(keep(Some(&folder), [3; 32]), [2; 32]);
        fs::write(folder.join(FILE), b"short").expect("it is ours");
        assert_eq!(keep(Some(&folder), [4; 32]), [4; 32]);
        assert_eq!(keep(Some(&folder), [5; 32]), [4; 32]);
        fs::remove_dir_all(&folder).expect("it is ours");
        fs::write(&folder, b"no folder").expect("the name is free");
        assert_eq!(keep(Some(&folder), [6; 32]), [6; 32]);
        fs::remove_file(&folder).expect("it is ours");
    }
}
