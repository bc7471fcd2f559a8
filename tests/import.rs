//! Settings of other servers, from their file to a file that the check takes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::harness::Scratch;

fn corecast(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_corecast"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("corecast starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    // A program that wants no input may be gone.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("corecast ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn what_is_imported_passes_the_check() {
    let scratch = Scratch::new("import");
    for (name, settings, missing) in [
        (
            "icecast.xml",
            "<icecast>\n<limits><sources>3</sources></limits>\n<mount><mount-name>/a</mount-name>\
             \n<charset>KOI8-R</charset></mount>\n</icecast>\n",
            "icecast.xml:4:1: icecast/mount[/a]/charset: no equivalent: ",
        ),
        (
            "gocast.vibe",
            "limits {\n  max_sources 3\n}\nhls { enabled true }\n",
            "gocast.vibe:4:1: hls: no equivalent: ",
        ),
    ] {
        let foreign = scratch.file(name);
        std::fs::write(&foreign, settings).expect("a file can be written");
        let foreign = foreign.to_str().expect("a path of ours");
        let from_file = corecast(&["import", foreign], "");
        assert!(from_file.status.success(), "{from_file:?}");
        assert!(text(&from_file.stderr).contains(missing), "{from_file:?}");

        let ours = scratch.file("corecast.toml");
        std::fs::write(&ours, &from_file.stdout).expect("a file can be written");
        let check = corecast(&["check", "--config", ours.to_str().expect("a path")], "");
        assert!(check.status.success(), "{check:?}");
        let shown = corecast(&["config", "-c", ours.to_str().expect("a path")], "");
        assert!(
            text(&shown.stdout).contains("\nsources_max = 3 "),
            "{shown:?}"
        );

        let from_input = corecast(&["import", "-"], settings);
        let without_name = |output: &Output, name: &str| text(&output.stdout).replace(name, "");
        assert_eq!(
            without_name(&from_input, "standard input"),
            without_name(&from_file, foreign)
        );
    }
}

#[test]
fn who_may_come_comes_along() {
    let scratch = Scratch::new("import-access");
    std::fs::write(scratch.file("deny"), "192.0.2.1\n10.1.*\n").expect("a file can be written");
    let settings = format!(
        "<icecast><paths><deny-ip>{}</deny-ip><allow-ip>/nowhere/allow</allow-ip></paths>\
         <listen-socket><port>8000</port><shoutcast-mount>/dj</shoutcast-mount></listen-socket>\
         <authentication><relay-password>between them</relay-password></authentication>\
         <master-server>m.example</master-server><master-password>between us</master-password>\
         <mount><mount-name>/a</mount-name><authentication type='htpasswd'>\
         <option name='filename' value='/etc/users'/></authentication></mount></icecast>",
        scratch.file("deny").display()
    );
    let imported = corecast(&["import", "-"], &settings);
    assert!(imported.status.success(), "{imported:?}");
    let told = text(&imported.stderr);
    assert!(told.contains("/nowhere/allow was not read"), "{told}");
    assert!(!told.contains("between"), "{told}");

    let ours = scratch.file("corecast.toml");
    std::fs::write(&ours, &imported.stdout).expect("a file can be written");
    let ours = ours.to_str().expect("a path of ours");
    let check = corecast(&["check", "--config", ours], "");
    assert!(check.status.success(), "{check:?}");
    let shown = corecast(&["config", "-c", ours], "");
    let shown = text(&shown.stdout);
    for line in [
        "deny_ips = [\"192.0.2.1/32\", \"10.1.0.0/16\"]",
        "shoutcast_mount = \"/dj\"",
        "url = \"http://m.example:8000\"",
        "listener_htpasswd = \"/etc/users\"",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

#[test]
fn what_cannot_be_imported_is_told_with_its_place() {
    for (settings, told) in [
        (
            "<icecast>\n  <limits>\n",
            "standard input:3:1: <limits> is never closed\n",
        ),
        (
            "<shoutcast/>",
            "standard input:1:1: the root must be <icecast>\n",
        ),
        (
            "server {\n  port [[1]]\n}",
            "standard input:2:9: nested-container: ",
        ),
    ] {
        let output = corecast(&["import", "-"], settings);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).starts_with(told), "{output:?}");
        assert!(output.stdout.is_empty());
    }
    let output = corecast(&["import", "/nowhere/icecast.xml"], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = corecast(&["import"], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// The commands of the page for people who come from Icecast, as they stand there.
#[test]
fn the_page_for_newcomers_says_what_works() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrate-from-icecast.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let commands = page
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the page begins with commands");
    let scratch = Scratch::new("newcomer");
    let settings = "<icecast><limits><clients>7</clients></limits>\n<hostname>radio.example\
                    </hostname><paths/>\n<listen-socket><port>8000</port></listen-socket>\
                    \n<mount><mount-name>/live</mount-name><charset>KOI8-R</charset></mount>\
                    </icecast>";
    std::fs::write(scratch.file("icecast.xml"), settings).expect("a file can be written");
    let program = Path::new(env!("CARGO_BIN_EXE_corecast"));
    let folder = program.parent().expect("a program is in a folder");
    let output = Command::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(scratch.path())
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .output()
        .expect("a shell starts");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("charset"), "{output:?}");
    let ours = std::fs::read_to_string(scratch.file("corecast.toml")).expect("it was written");
    assert!(
        ours.contains("listeners_max = 7") && ours.contains("radio.example"),
        "{ours}"
    );
}
