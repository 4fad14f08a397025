//! What happens when etcd goes away, and comes back as itself or as another.

use std::time::Duration;

use crate::{
    seen::{Tried, options},
    server::{Folder, Server, eventually},
};

fn route(number: usize) -> String {
    format!("routes/{number:05}")
}

#[test]
fn ten_thousand_routes_survive_a_kill_and_catch_up() {
    let folder = Folder::new("kill");
    let mut server = Server::alone(&folder.0);
    let filler = Tried::ready(options(&[server.url()]), None);
    filler.fill((0..10_000).map(route), r#"{"uri":"/x"}"#);
    filler.until("all changes are told", |seen| seen.content.len() == 10_000);
    let tried = Tried::ready(options(&[server.url()]), Some(folder.0.join("snapshot")));
    assert_eq!(tried.seen.lock().unwrap().content.len(), 10_000);

    server.kill();
    tried.until("the loss is told", |seen| seen.lost.is_some());
    let why = tried.seen.lock().unwrap().lost.clone().unwrap();
    assert!(why.contains("Connection refused") && why.contains(&server.url()), "{why}");
    assert!(tried.put("routes/1", "{}").is_err());
    server.start();
    server.put("routes/after", "{}");
    tried.until("the change is told", |seen| seen.value("routes/after").is_some());
    tried.until("etcd is found", |seen| seen.lost.is_none());
    let seen = tried.seen.lock().unwrap();
    // It is the same etcd: what it has need not be told again.
    assert_eq!(seen.alls(), 1);
    assert_eq!(seen.content.len(), 10_001);
}

#[test]
fn without_etcd_the_snapshot_serves() {
    let folder = Folder::new("snapshot");
    let file = folder.0.join("etcd.snapshot");
    let mut server = Server::alone(&folder.0);
    server.put("routes/1", r#"{"key":"encrypted+/="}"#);
    server.put("routes/", "init_dir");
    let tried = Tried::ready(options(&[server.url()]), Some(file.clone()));
    eventually("it is written", || tried.store.saved().revision.is_some());
    server.put("routes/2", "{}");
    tried.until("the change", |seen| seen.value("routes/2").is_some());
    let revision = tried.seen.lock().unwrap().revision;
    // It is written at the end at the latest.
    drop(tried);

    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    let again = Tried::ready(options(&[server.url()]), Some(file.clone()));
    eventually("it is known to be on disk", || again.store.saved().revision == Some(revision));
    std::thread::sleep(Duration::from_millis(1500));
    drop(again);
    let after = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(before, after, "nothing changed, so nothing is written");

    server.kill();
    let offline = Tried::new(options(&[server.url()]), Some(file.clone()));
    offline.until("the snapshot is told", |seen| seen.lost.is_some());
    {
        let seen = offline.seen.lock().unwrap();
        assert_eq!(seen.value("routes/1"), Some(r#"{"key":"encrypted+/="}"#));
        assert_eq!((seen.content.len(), seen.revision), (2, revision));
        let why = seen.lost.clone().unwrap();
        assert!(why.contains(&format!("snapshot of revision {revision}")), "{why}");
    }
    server.start();
    server.put("routes/3", "{}");
    offline.until("the real one", |seen| seen.lost.is_none() && seen.content.len() == 3);
    drop(offline);

    server.kill();
    std::fs::write(&file, "torn").unwrap();
    let torn = Tried::new(options(&[server.url()]), Some(file));
    torn.until("it is lost", |seen| seen.lost.is_some());
    let seen = torn.seen.lock().unwrap();
    let why = seen.lost.clone().unwrap();
    assert!(why.contains("etcd.snapshot is not used: it ends in line 1"), "{why}");
    assert_eq!(seen.alls(), 0);
}
