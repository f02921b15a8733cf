//! Ten thousand sites on one witness. The sizes that `docs/witness.md` names are printed by
//! `cargo test -p witness --lib -- --ignored --nocapture ten_thousand`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use pair::witness::Reply;
use pair::{GrantedBy, Room};
use tokio::task::JoinSet;

use super::{generation, name, status};
use crate::definition::tests::authority;
use crate::disk::{Disk, RealDisk, Use};
use crate::edit;
use crate::keeper::Keeper;
use crate::process;
use crate::registers::tests::{both, grant, report};
use crate::wire::{Answer, Question};

/// Adds sites, lets each be granted once, starts anew, and sees that all is held. Gives what it measured.
async fn run(sites: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..sites).map(|number| format!("site-{number}")).collect();
    let authority = authority();
    let disk = RealDisk::open(folder.path(), Use::Edit).unwrap();
    for site in &names {
        edit::add(&disk, &name(site), &authority, generation(3)).unwrap();
    }
    drop(disk);
    let open = || Arc::new(RealDisk::open(folder.path(), Use::Serve).unwrap());

    let keeper = Keeper::start(open()).unwrap();
    let began = Instant::now();
    for question in [report(4, 3), grant(Room::B, 4, 3)] {
        let mut asking = JoinSet::new();
        for site in &names {
            let (keeper, site) = (keeper.clone(), name(site));
            asking.spawn(async move { keeper.ask(&site, question, SystemTime::now()).await });
        }
        while let Some(answer) = asking.join_next().await {
            let Answer::Reply(reply) = answer.unwrap() else { panic!("not answered") };
            assert!(matches!(reply, Reply::Holds(_) | Reply::Granted(_)), "{reply:?}");
        }
    }
    let asked = began.elapsed();
    let groups = keeper.counters.groups.get();
    assert_eq!(keeper.counters.records.get(), 2 * sites as u64);
    drop(keeper);

    let before = process::resident_bytes();
    let began = Instant::now();
    let disk: Arc<dyn Disk> = {
        // The thread of the keeper before lets go of the folder when it has ended.
        loop {
            match RealDisk::open(folder.path(), Use::Serve) {
                Ok(disk) => break Arc::new(disk),
                Err(_) => std::thread::yield_now(),
            }
        }
    };
    let keeper = Keeper::start(disk).unwrap();
    let started = began.elapsed();
    let resident = process::resident_bytes();
    assert_eq!(keeper.sites(), (sites as u64, 0));
    let granted = both(4, 3).granted(Room::B, GrantedBy::Witness);
    for site in &names {
        assert_eq!(status(&keeper, site).await.held, Some(granted));
        let again = keeper.ask(&name(site), grant(Room::A, 4, 3), SystemTime::now()).await;
        assert!(matches!(again, Answer::Reply(Reply::Refused { .. })), "{again:?}");
    }
    let bytes = keeper.counters.disk_bytes.get() / sites as u64;
    assert!(bytes < 4096, "{bytes} bytes for each site");
    assert!(matches!(
        keeper.ask(&name("another"), Question::Status, SystemTime::now()).await,
        Answer::Refused(_)
    ));
    format!(
        "{sites} sites: {bytes} bytes of files each; {} decisions in {asked:?}, {groups} groups; start in \
         {started:?}; resident {} KiB, {} KiB of it before the start\n",
        2 * sites,
        resident >> 10,
        before >> 10
    )
}

#[tokio::test]
async fn each_of_many_sites_is_granted_once() {
    run(300).await;
}

#[tokio::test]
#[ignore = "takes minutes: ten thousand sites, each added with syncs of its own"]
async fn ten_thousand_sites_are_held() {
    use std::io::Write as _;
    let measured = run(10_000).await;
    // Not for the console of a program: for whoever measures.
    std::io::stdout().write_all(measured.as_bytes()).unwrap();
}
