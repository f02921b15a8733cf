//! Sites that come, are renewed, are damaged and go while the witness runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pair::Room;

use super::{generation, name, status};
use crate::definition::tests::authority;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, Folder};
use crate::edit::{self, EditError};
use crate::keeper::Keeper;
use crate::registers::tests::{both, grant, report};
use crate::wire::{Answer, Question, Refused};

async fn ask(keeper: &Keeper, site: &str, question: Question) -> Answer {
    keeper.ask(&name(site), question, UNIX_EPOCH + Duration::from_secs(90)).await
}

#[tokio::test]
async fn sites_come_and_go_while_it_runs() {
    let disk = SimDisk::default();
    let keeper = Keeper::start(Arc::new(disk.clone())).unwrap();
    assert_eq!(ask(&keeper, "x", report(4, 3)).await, Answer::Refused(Refused::UnknownSite));

    edit::add(&disk, &name("x"), &authority(), generation(3)).unwrap();
    let twice = edit::add(&disk, &name("x"), &authority(), generation(4));
    assert!(matches!(twice, Err(EditError::Exists(_))));
    keeper.refresh();
    assert!(matches!(ask(&keeper, "x", report(4, 3)).await, Answer::Reply(_)));
    assert_eq!(keeper.sites(), (1, 0));

    // What is noted of a question is noted before the next one.
    ask(&keeper, "x", Question::Status).await;
    let listed = edit::look(&disk, &name("x")).unwrap();
    let state = listed.state.unwrap();
    assert_eq!((state.generation, state.held), (3, Some(both(4, 3))));
    assert_eq!(state.changed_ms, Some(90_000));
    assert_eq!(listed.asked, Some(UNIX_EPOCH + Duration::from_secs(90)));

    edit::renew(&disk, &name("x"), generation(5)).unwrap();
    keeper.refresh();
    let renewed = status(&keeper, "x").await;
    assert_eq!((renewed.generation, renewed.held), (5, Some(both(4, 3))));
    let answer = ask(&keeper, "x", grant(Room::A, 4, 3)).await;
    assert!(format!("{answer:?}").contains("OtherGeneration(5)"), "{answer:?}");

    edit::remove(&disk, &name("x")).unwrap();
    assert!(matches!(edit::remove(&disk, &name("x")), Err(EditError::Unknown(_))));
    keeper.refresh();
    assert_eq!(ask(&keeper, "x", report(4, 3)).await, Answer::Refused(Refused::UnknownSite));
    assert_eq!(keeper.sites(), (0, 0));
    assert!(disk.names(Folder::Registers).unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_site_is_refused_by_name_and_the_others_are_not() {
    let disk = SimDisk::default();
    for site in ["x", "y", "z"] {
        edit::add(&disk, &name(site), &authority(), generation(3)).unwrap();
    }
    disk.damage(Folder::Registers, "x", 15);
    disk.remove(Folder::Registers, "y").unwrap();
    let keeper = Keeper::start(Arc::new(disk.clone())).unwrap();
    assert_eq!(keeper.sites(), (3, 2));
    for (site, reason) in [("x", "registers/x: its checksum"), ("y", "registers/y: ")] {
        let answer = ask(&keeper, site, report(4, 3)).await;
        assert!(
            matches!(&answer, Answer::Refused(Refused::Damaged(text)) if text.starts_with(reason)),
            "{answer:?}"
        );
        assert!(edit::look(&disk, &name(site)).unwrap().state.is_err());
    }
    assert!(matches!(ask(&keeper, "z", report(4, 3)).await, Answer::Reply(_)));

    // Only a person begins anew, and with another generation.
    for site in ["x", "y"] {
        edit::renew(&disk, &name(site), generation(9)).unwrap();
    }
    keeper.refresh();
    let renewed = status(&keeper, "x").await;
    assert_eq!((renewed.generation, renewed.held), (9, None));
    assert_eq!(keeper.sites(), (3, 0));
    assert!(matches!(ask(&keeper, "y", report(4, 9)).await, Answer::Reply(_)));

    // Whose rooms may ask is nothing that a new generation could mend.
    disk.damage(Folder::Sites, "z.toml", 90);
    let error = edit::renew(&disk, &name("z"), generation(9)).unwrap_err().to_string();
    assert!(error.contains("cannot be renewed: sites/z.toml: "), "{error}");
}

#[tokio::test]
async fn many_questions_at_once_share_the_disk() {
    let disk = SimDisk::default();
    let sites: Vec<String> = (0..200).map(|number| format!("site-{number}")).collect();
    let authority = authority();
    for site in &sites {
        edit::add(&disk, &name(site), &authority, generation(3)).unwrap();
    }
    let keeper = Keeper::start(Arc::new(disk)).unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for site in sites {
        let keeper = keeper.clone();
        asking
            .spawn(async move { keeper.ask(&name(&site), report(4, 3), SystemTime::now()).await });
    }
    while let Some(answer) = asking.join_next().await {
        assert!(matches!(answer.unwrap(), Answer::Reply(_)));
    }
    assert_eq!(keeper.counters.records.get(), 200);
    assert!(keeper.counters.groups.get() <= 200);
    assert_eq!(keeper.counters.sync().count, keeper.counters.groups.get());
}
