//! Users of a mount's listeners, added and deleted by command as in Icecast.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::super::harness::{IcyReader, Scratch, Station};
use super::*;

/// Both servers: listeners of `/a.mp3` are in a file, a hook decides about those of `/u.mp3`,
/// nothing about those of `/p.mp3`.
fn start(folder: &Scratch, users: &Path) -> (Pair, Vec<Station>, Scratch) {
    let hook = "http://127.0.0.1:1/";
    let config = format!(
        "[log]\naccess_path = '{}'\n[[mount]]\nname = '/a.mp3'\nlistener_htpasswd = '{}'\n\
         [[mount]]\nname = '/u.mp3'\nhook_listener_add = '{hook}'\n",
        folder.file("access.log").display(),
        users.display()
    );
    std::fs::write(folder.file("c.toml"), config).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command
        .arg("run")
        .arg("--config")
        .arg(folder.file("c.toml"));
    let server = Server::launch_with(command, Backend::IoUring, &[]);
    server.wait_ready();
    let theirs = Scratch::open_to_all("users");
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(theirs.path(), all).expect("it is ours");
    let extra = format!(
        "<mount><mount-name>/a.mp3</mount-name><authentication type=\"htpasswd\">\
         <option name=\"filename\" value=\"{}\"/></authentication></mount>\
         <mount><mount-name>/u.mp3</mount-name><authentication type=\"url\">\
         <option name=\"listener_add\" value=\"{hook}\"/></authentication></mount>",
        theirs.file("users").display()
    );
    let icecast = Icecast::start(&extra);
    let pair = Pair { server, icecast };
    let mounts = ["/a.mp3", "/u.mp3", "/p.mp3"];
    let stations = pair
        .addresses()
        .into_iter()
        .flat_map(|address| mounts.map(|mount| Station::play_to(address, mount, 0, 1.0)));
    let stations = stations.collect();
    pair.wait_text("/admin/stats", "sources", "3");
    (pair, stations, theirs)
}

fn manage(mount: &str, what: &str) -> String {
    format!("/admin/manageauth?mount={mount}{what}")
}

/// The status that a listener with these credentials gets.
fn knock(address: SocketAddr, user: &str, password: &str) -> u16 {
    let authorization = http::basic(user, password);
    let request = format!("GET /a.mp3 HTTP/1.0\r\n{authorization}\r\n");
    let reader = IcyReader::ask(address, &request).expect("an answer");
    reader.answer.status
}

/// Icecast looks at its file's seconds to see that it is another.
fn wait_for_icecast() {
    std::thread::sleep(Duration::from_millis(1_100));
}

#[test]
fn users_are_managed_as_in_icecast() {
    let folder = Scratch::new("manageauth");
    let users = folder.file("users");
    let (pair, _stations, _theirs) = start(&folder, &users);
    let ours = pair.server.address();
    assert_eq!(knock(ours, "ada", "one"), 503, "there is no file yet");
    for what in [
        "",
        "&action=list",
        "&action=nonsense",
        "&action=add",
        "&action=delete",
    ] {
        pair.check(&manage("/a.mp3", what), &admin());
    }
    pair.check(
        &manage("/a.mp3", "&action=add&username=ada&password=one"),
        &admin(),
    );
    assert_eq!(
        pair.addresses().map(|address| knock(address, "ada", "one")),
        [200, 200]
    );
    assert_eq!(knock(ours, "ada", "two"), 401);
    for what in [
        "&action=add&username=ada&password=two",
        "&action=add&username=bob",
        "&action=delete&username=nobody",
        "",
    ] {
        pair.check(&manage("/a.mp3", what), &admin());
    }
    pair.check(
        &manage("/a.mp3", ""),
        &http::basic("source", SOURCE_PASSWORD),
    );
    pair.check(&manage("/a.mp3", ""), "");
    wait_for_icecast();
    pair.check(
        &manage("/a.mp3", "&action=add&username=bob&password=p%20w"),
        &admin(),
    );
    wait_for_icecast();
    // The answer of Icecast lists whom it has just deleted.
    let delete = manage("/a.mp3", "&action=delete&username=ada");
    let messages = pair.texts(&delete, "message");
    assert_eq!(messages[0], ["User deleted"]);
    assert_eq!(messages[0], messages[1]);
    assert_eq!(
        (knock(ours, "ada", "one"), knock(ours, "bob", "p w")),
        (401, 200)
    );
    wait_for_icecast();
    pair.check(&manage("/a.mp3", ""), &admin());

    for what in [
        "",
        "&action=add&username=x&password=y",
        "&action=delete&username=x",
    ] {
        pair.check(&manage("/u.mp3", what), &admin());
        pair.check(&manage("/p.mp3", what), &admin());
    }
    let text = std::fs::read_to_string(&users).expect("the file is there");
    assert!(
        text.starts_with("bob:$2b$") && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn no_command_breaks_a_file_of_users() {
    let folder = Scratch::new("manageauth");
    let users = folder.file("users");
    std::fs::write(&users, "# ours\n").expect("the folder takes files");
    let (pair, _stations, _theirs) = start(&folder, &users);
    let address = pair.server.address();
    let long = "x".repeat(200);
    for (user, password) in [
        ("", "x"),
        ("a%3Ab", "x"),
        ("a%0Aroot", "x"),
        ("a%0D", "x"),
        ("%ff", "x"),
        ("%23a", "x"),
        (&*long, "x"),
        ("a", ""),
        ("a", &*long),
    ] {
        let what = format!("&action=add&username={user}&password={password}");
        let answer = get(address, &manage("/a.mp3", &what), &admin());
        let messages = texts(&answer.text(), "message");
        let failed = "User add failed - check the icecast error log";
        assert_eq!(messages, [failed], "{user} {password}");
    }
    let add = manage("/a.mp3", "&action=add&username=eve&password=x");
    let elsewhere = format!("{}Sec-Fetch-Site: cross-site\r\n", admin());
    assert_eq!(get(address, &add, &elsewhere).status, 403);
    let head = format!("HEAD {add} HTTP/1.0\r\n{}\r\n", admin());
    let answer = http::exchange(address, head.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 400);
    assert_eq!(get(address, &add, &http::basic("eve", "x")).status, 401);
    let text = std::fs::read_to_string(&users).expect("the file is there");
    assert_eq!(text, "# ours\n");

    let adds: Vec<_> = (0..12)
        .map(|at| {
            std::thread::spawn(move || {
                let what = format!("&action=add&username=u{at:02}&password=x{at}");
                let answer = get(address, &manage("/a.mp3", &what), &admin());
                texts(&answer.text(), "message")
            })
        })
        .collect();
    for add in adds {
        assert_eq!(add.join().expect("an answer"), ["User added"]);
    }
    let [ours, _] = pair.texts(&manage("/a.mp3", ""), "username");
    let expected: Vec<String> = (0..12).map(|at| format!("u{at:02}")).collect();
    assert_eq!(ours, expected, "none is lost, whoever comes at once");
    assert_eq!(knock(address, "u07", "x7"), 200);

    let page = pair
        .server
        .get_as_admin("/admin/manageauth.xsl?mount=/a.mp3")
        .text();
    let _ = shape(&page.replace("<!DOCTYPE html>", ""));
    assert!(page.contains("username=u07&amp;action=delete"), "{page}");
    let list = pair.server.get_as_admin("/admin/listmounts.xsl").text();
    assert!(list.contains("manageauth.xsl?mount=%2Fa%2Emp3"), "{list}");

    let access = wait_for("the commands are in the access log", LIMIT, || {
        let text = std::fs::read_to_string(folder.file("access.log")).ok()?;
        (text.matches("GET /admin/manageauth").count() > 20).then_some(text)
    });
    let log = pair.server.log();
    assert!(
        !access.contains("password") && !log.contains("password=x"),
        "{access}{log}"
    );
}
