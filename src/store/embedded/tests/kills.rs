//! A process is killed (`kill -9`) at any moment while it writes, again and again.
//!
//! The process is this test's own program, started anew with only [`child`] to run. It writes
//! what [`made`] says and prints each revision that was answered.

use super::{
    Asked, Dice, Embedded, Options, Store, Temp, deaf,
    model::{Replay, made},
    rounds, wait,
};
use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const DIR: &str = "MOONGATE_STORE_CHILD";

/// Writes that a child has under way at once.
const AT_ONCE: usize = 8;

/// What a child says when the store is open; then come the revisions that were answered.
const OPEN: &str = "open";

#[test]
#[ignore = "what the processes run that are killed"]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let store = Embedded::open(dir.as_ref(), Options::default(), deaf()).unwrap();
    let mut revision = wait(store.list("")).unwrap().revision;
    let say = |text: &str| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("@{text}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    say(OPEN);
    let (send, answers) = mpsc::sync_channel::<u64>(0);
    let printer = thread::spawn(move || answers.iter().for_each(|answer| say(&answer.to_string())));
    let mut under_way = std::collections::VecDeque::new();
    loop {
        while under_way.len() < AT_ONCE {
            revision += 1;
            under_way.push_back((revision, Asked::new(store.write(made(revision)))));
        }
        let (revision, answer) = under_way.pop_front().unwrap();
        assert_eq!(answer.wait().unwrap().revision, revision);
        send.send(revision).unwrap();
        assert!(!printer.is_finished());
    }
}

/// What a child said before it was killed.
struct Said {
    opened: bool,
    last: u64,
}

fn spawn(temp: &Temp) -> Child {
    let name = module_path!().split_once("::").unwrap().1;
    Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{name}::child"), "--ignored", "--nocapture"])
        .env(DIR, temp.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a child and kills it: a moment after its start, or after its store was open.
fn kill_one(temp: &Temp, after_open: bool, moment: Duration) -> Said {
    let mut child = spawn(temp);
    let (opened, hear) = mpsc::channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listener = thread::spawn(move || {
        let mut said = Said { opened: false, last: 0 };
        // The runner of tests prints lines of its own; the last line may be torn.
        for line in lines.map_while(Result::ok) {
            match line.split_once('@').map(|(_, text)| text) {
                Some(OPEN) => {
                    said.opened = true;
                    let _ = opened.send(());
                }
                Some(text) => said.last = text.parse().unwrap(),
                None => {}
            }
        }
        said
    });
    let ready = !after_open || hear.recv_timeout(Duration::from_secs(60)).is_ok();
    thread::sleep(moment);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = listener.join().unwrap();
    // Killed, and not gone for a reason of its own.
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(ready && output.status.code().is_none(), "{}: {errors}", output.status);
    said
}

#[test]
fn a_killed_process_loses_nothing_that_it_answered() {
    let rounds = rounds(60);
    let mut dice = Dice(11);
    let mut replay = Replay::default();
    let mut temp = Temp::new("kills");
    let (mut answered, mut opened, mut total) = (0, 0_u64, 0);
    for round in 0..rounds {
        if round % 50 == 49 {
            // From the very beginning, too.
            total += answered;
            answered = 0;
            temp = Temp::new(&format!("kills-{round}"));
        }
        let after_open = dice.below(3) != 0;
        let said = kill_one(&temp, after_open, Duration::from_micros(dice.below(40_000)));
        opened += u64::from(said.opened);
        answered = answered.max(said.last);
        // Sometimes the next process finds the file as this one left it, and is killed, too.
        if dice.below(3) == 0 {
            continue;
        }
        let store = Embedded::open(temp.dir(), Options::default(), deaf()).unwrap();
        let listing = wait(store.list("")).unwrap();
        assert!(listing.revision >= answered, "round {round}: {answered} was answered");
        replay.at(listing.revision).check(&listing);
        let newest = wait(store.history(1)).unwrap();
        assert!(newest.iter().all(|one| one.who == format!("writer {}", one.revision)));
        answered = listing.revision;
    }
    total += answered;
    eprintln!("{rounds} kills, {opened} of them after it was open, {total} writes kept");
    assert!(opened > rounds / 2, "{opened}");
    assert!(total > rounds, "{total}");
}
