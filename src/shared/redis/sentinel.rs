//! Asks sentinels who the master is.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};

use super::{
    command::{Command, Job},
    link::{Link, Login},
    options::{Address, Sentinels, Tls},
    reply::Reply,
};

/// What one sentinel may take; the next one is asked then.
const ASK: Duration = Duration::from_millis(300);

/// The address of the master, from the first sentinel that knows it.
///
/// # Errors
///
/// What the last sentinel said, when none knows it.
pub(super) async fn master(sentinels: &Sentinels, tls: Option<&Tls>) -> Result<Address, String> {
    let mut why = "no sentinel is configured".to_owned();
    for address in &sentinels.addresses {
        match timeout(ASK, ask(sentinels, tls, address)).await {
            Ok(Ok(master)) => return Ok(master),
            Ok(Err(error)) => why = format!("sentinel {address}: {error}"),
            Err(_) => {
                why = format!("sentinel {address}: no answer within {} ms", ASK.as_millis());
            }
        }
    }
    Err(why)
}

async fn ask(
    sentinels: &Sentinels,
    tls: Option<&Tls>,
    address: &Address,
) -> Result<Address, String> {
    let login = Login {
        username: sentinels.username.as_deref(),
        password: sentinels.password.as_deref(),
        database: 0,
        tls,
    };
    let link = Link::open(address, login, Arc::new(Notify::new())).await;
    let link = link.map_err(|error| error.to_string())?;
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &sentinels.master];
    let reply = link.run(&Job::Command(Command::build(&words))).await;
    let found = match reply.map_err(|error| error.to_string())? {
        Reply::List(parts) => match &parts[..] {
            [host, port] => host.text().zip(port.text()).and_then(|(host, port)| {
                Some(Address { host: host.to_owned(), port: port.parse().ok()? })
            }),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| format!("it knows no master named {}", sentinels.master))
}

/// Whether sentinels call another server than `current` the master. Without an answer nothing
/// has changed.
pub(super) async fn moved(sentinels: &Sentinels, tls: Option<&Tls>, current: &Address) -> bool {
    matches!(master(sentinels, tls).await, Ok(address) if address != *current)
}

/// Checks that the server holds itself for a master: sentinels may tell of one that is not
/// promoted yet, or is one no more.
///
/// # Errors
///
/// Its role, or why it is not known.
pub(super) async fn check_role(link: &Link) -> Result<(), String> {
    let reply = link.run(&Job::Command(Command::build(&["ROLE"]))).await;
    match reply.map_err(|error| error.to_string())? {
        Reply::List(parts) => match parts.first().and_then(Reply::text) {
            Some("master") => Ok(()),
            Some(role) => Err(format!("it is a {role}, not the master")),
            None => Err("it told no role".to_owned()),
        },
        _ => Err("it told no role".to_owned()),
    }
}
