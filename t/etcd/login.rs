//! Users and passwords.

use std::time::Duration;

use crate::{
    seen::{Tried, options},
    server::{Folder, Server},
};

const ROOT: [&str; 2] = ["--user", "root:good"];

fn with_users(folder: &Folder) -> Server {
    let server = Server::alone(&folder.0);
    server.put("routes/1", "{}");
    server.ctl(&["user", "add", "root:good"]);
    server.ctl(&["user", "grant-role", "root", "root"]);
    server.ctl(&["role", "add", "gate"]);
    server.ctl(&["role", "grant-permission", "gate", "--prefix=true", "readwrite", "/apisix/"]);
    server.ctl(&["user", "add", "gate:secret-1"]);
    server.ctl(&["user", "grant-role", "gate", "gate"]);
    server.ctl(&["auth", "enable"]);
    server
}

fn as_gate(server: &Server, password: &str) -> moongate::store::etcd::Options {
    let mut options = options(&[server.url()]);
    options.login = Some(("gate".to_owned(), password.to_owned()));
    options
}

#[test]
fn a_wrong_password_is_told_without_it_and_not_tried_all_the_time() {
    let folder = Folder::new("wrong");
    let server = with_users(&folder);
    let tried = Tried::new(as_gate(&server, "secret-2"), None);
    tried.until("it is told", |seen| seen.lost.is_some());
    let why = tried.seen.lock().unwrap().lost.clone().unwrap();
    assert!(why.contains("user \"gate\" is refused"), "{why}");
    assert!(why.contains("invalid user ID or password"), "{why}");
    assert!(!why.contains("secret"), "{why}");
    let error = tried.put("routes/2", "{}").unwrap_err().to_string();
    assert!(error.contains("user \"gate\" is refused") && !error.contains("secret"), "{error}");
    let before = tried.store.logins();
    for _ in 0..50 {
        assert!(tried.put("routes/2", "{}").is_err());
    }
    // One in three seconds at most, whoever asks.
    assert!(tried.store.logins() - before <= 10, "{} tries", tried.store.logins() - before);
    let passwd = ["passwd", "--interactive=false", "gate"];
    let mut args = ROOT.to_vec();
    args.extend(["user"]);
    args.extend(passwd);
    server.say("secret-2\n", &args);
    tried.until("it is right now", |seen| seen.lost.is_none() && seen.alls() == 1);
    assert!(tried.put("routes/2", "{}").is_ok());
}

#[test]
fn nobody_is_told_to_say_who_he_is() {
    let folder = Folder::new("nobody");
    let server = with_users(&folder);
    let tried = Tried::new(options(&[server.url()]), None);
    tried.until("it is told", |seen| seen.lost.is_some());
    let why = tried.seen.lock().unwrap().lost.clone().unwrap();
    assert!(why.contains("deployment.etcd.user"), "{why}");
}

#[test]
fn an_old_token_costs_one_login_and_a_new_password_the_store() {
    let folder = Folder::new("password");
    let mut server = with_users(&folder);
    let tried = Tried::ready(as_gate(&server, "secret-1"), None);
    assert_eq!(tried.store.logins(), 1);
    assert!(tried.put("routes/2", "{}").is_ok());
    // A change of any user makes etcd forget all tokens.
    server.ctl(&[&ROOT[..], &["user", "add", "other:x"]].concat());
    server.kill();
    server.start_as("root:good");
    tried.until("etcd is followed again", |seen| seen.lost.is_none());
    assert!(tried.put("routes/3", "{}").is_ok());
    tried.until("the change", |seen| seen.value("routes/3").is_some());
    let logins = tried.store.logins();
    assert!((2..=4).contains(&logins), "{logins}");

    server.say(
        "secret-9\n",
        &[&ROOT[..], &["user", "passwd", "--interactive=false", "gate"]].concat(),
    );
    let error = tried.put("routes/4", "{}").unwrap_err().to_string();
    assert!(error.contains("user \"gate\" is refused"), "{error}");
    server.kill();
    server.start_as("root:good");
    tried.until("the loss is told", |seen| {
        seen.lost.as_ref().is_some_and(|why| why.contains("user \"gate\" is refused"))
    });
    std::thread::sleep(Duration::from_millis(100));
    server.say(
        "secret-1\n",
        &[&ROOT[..], &["user", "passwd", "--interactive=false", "gate"]].concat(),
    );
    tried.until("it is found again", |seen| seen.lost.is_none());
    assert!(tried.put("routes/4", "{}").is_ok());
}

#[test]
fn a_password_that_nobody_asks_for_does_no_harm() {
    let folder = Folder::new("unasked");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(as_gate(&server, "secret-1"), None);
    assert!(tried.put("routes/1", "{}").is_ok());
    assert_eq!(tried.store.logins(), 1);
}
