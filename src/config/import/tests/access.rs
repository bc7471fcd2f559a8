//! Who may listen, relay and come at all, as Icecast's settings say it.

use std::time::Duration;

use super::*;
use crate::import::{Files, import_with};
use crate::master::Master;

fn imported_icecast(inside: &str, files: &[(&str, &str)]) -> (Config, Imported) {
    let files: Files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let text = format!("<icecast>{inside}</icecast>");
    let imported = import_with(Format::Icecast, "icecast.xml", text.as_bytes(), files);
    let imported = imported.expect("a file of its format");
    (loaded(&imported.toml), imported)
}

#[test]
fn a_master_is_taken_over() {
    let (config, imported) = imported_icecast(
        "<relay><server>a</server><mount>/b</mount></relay>\
         <relay><server>a</server><mount>/c</mount><on-demand>0</on-demand></relay>\
         <relays-on-demand>1</relays-on-demand>\
         <authentication><relay-user>far</relay-user>\
         <relay-password>between them</relay-password></authentication>\
         <master-password>between us</master-password><master-username>near</master-username>\
         <master-update-interval>60</master-update-interval>\
         <master-server-port>8010</master-server-port><master-server>::1</master-server>\
         <master-redirect>0</master-redirect>",
        &[],
    );
    let expected = Master {
        name: "master".to_owned(),
        url: "http://[::1]:8010".to_owned(),
        user: "near".to_owned(),
        password: "between us".to_owned(),
        interval: Duration::from_secs(60),
        on_demand: true,
        ..Master::default()
    };
    assert_eq!(config.masters, [expected]);
    let on_demand: Vec<bool> = config.relays.iter().map(|relay| relay.on_demand).collect();
    assert_eq!(on_demand, [true, false]);
    assert_eq!(config.auth.relay_user, "far");
    assert_eq!(config.auth.relay_password, "between them");
    assert_eq!(imported.notes, []);

    let (config, imported) = imported_icecast(
        "<master-server>a b</master-server><master-redirect>1</master-redirect>\
         <authentication><relay-user>a:b</relay-user></authentication>",
        &[],
    );
    assert_eq!(
        (config.masters.len(), &*config.auth.relay_user),
        (0, "relay")
    );
    assert_eq!(
        told(&imported, Outcome::LeftOut).len(),
        2,
        "{}",
        imported.toml
    );
    let missing = told(&imported, Outcome::Missing);
    assert_eq!(missing, [(1, "icecast/master-redirect")]);

    let (config, imported) = imported_icecast(
        "<master-server>a</master-server><master-server-port>8000</master-server-port>\
         <master-username>x:y</master-username><master-password>hackme</master-password>\
         <master-update-interval>0</master-update-interval>",
        &[],
    );
    let [master] = config.masters.as_slice() else {
        panic!("{}", imported.toml);
    };
    assert_eq!((&*master.user, &*master.password), ("relay", ""));
    assert_eq!(
        told(&imported, Outcome::LeftOut).len(),
        3,
        "{}",
        imported.toml
    );
}

#[test]
fn lists_in_files_are_taken_over_where_they_can_be_read() {
    let inside = "<paths><allow-ip>/etc/allow</allow-ip><deny-ip>/etc/deny</deny-ip>\
                  <deny-agents>/etc/agents</deny-agents>\
                  <x-forwarded-for>127.0.0.1, 10.0.0.*</x-forwarded-for></paths>";
    let files = [
        ("/etc/allow", "# us\n192.0.2.1\r\n\n2001:db8::/32\n"),
        ("/etc/deny", "192.0.2.*\nnobody.example\n"),
        ("/etc/agents", "wget*\nbot\n"),
    ];
    let (config, imported) = imported_icecast(inside, &files);
    let limits = &config.limits;
    assert_eq!(limits.allow_ips, networks(&["192.0.2.1", "2001:db8::/32"]));
    assert_eq!(limits.deny_ips, networks(&["192.0.2.0/24"]));
    assert_eq!(limits.deny_agents, ["wget*", "bot"]);
    assert_eq!(
        limits.trusted_proxies,
        networks(&["127.0.0.1", "10.0.0.0/24"])
    );
    assert_eq!(imported.wants, Vec::<String>::new());
    let left_out = note(&imported, "icecast/paths/deny-ip");
    assert_eq!(left_out.reason, "1 are no addresses; the first is number 2");

    let (config, imported) = imported_icecast(inside, &[]);
    assert!(config.limits.allow_ips.is_empty() && config.limits.deny_ips.is_empty());
    assert_eq!(imported.wants, ["/etc/allow", "/etc/deny", "/etc/agents"]);
    assert_eq!(told(&imported, Outcome::Missing).len(), 3);
    let reason = &note(&imported, "icecast/paths/allow-ip").reason;
    assert!(reason.contains("limits.allow_ips"), "{reason}");

    let many = "192.0.2.1\n2001:db8::1\n".repeat(2_500);
    let (config, imported) = imported_icecast(inside, &[("/etc/deny", &many)]);
    assert!(config.limits.deny_ips.is_empty());
    assert_eq!(
        note(&imported, "icecast/paths/deny-ip").outcome,
        Outcome::LeftOut
    );
}

#[test]
fn files_of_users_are_taken_over() {
    let option = |name: &str, value: &str| format!("<option name='{name}' value='{value}'/>");
    let options = [
        option("filename", "/etc/users"),
        option("allow_duplicate_users", "0"),
    ]
    .concat();
    for authentication in [
        format!("<authentication type='htpasswd'>{options}</authentication>"),
        format!("<authentication><role type='htpasswd'>{options}</role></authentication>"),
    ] {
        let mount = format!("<mount><mount-name>/a</mount-name>{authentication}</mount>");
        let (config, imported) = imported_icecast(&mount, &[]);
        let users = config.mount("/a").listener_htpasswd.display().to_string();
        assert_eq!(users, "/etc/users");
        let missing = told(&imported, Outcome::Missing);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].1.ends_with("/option[allow_duplicate_users]"));
    }
    let (config, imported) = imported_icecast(
        "<mount><mount-name>/a</mount-name><authentication type='htpasswd'>\
         <option name='filename' value='users'/><option name='allow_duplicate_users' value='1'/>\
         </authentication><redirect>http://b.example:8000</redirect></mount>",
        &[],
    );
    assert_eq!(
        config.mount("/a").listener_htpasswd.display().to_string(),
        "users"
    );
    assert_eq!(config.mount("/a").redirect_full, "http://b.example:8000");
    assert_eq!(told(&imported, Outcome::Missing), []);
    assert_eq!(told(&imported, Outcome::Changed).len(), 1);
}
