//! Objects that lie in an archive: who must act is said, before anything is sent where the listing tells.

use aws_sdk_s3::types::StorageClass;

use super::Exports;

#[tokio::test]
async fn what_lies_in_an_archive_is_told_before_anything_is_sent() {
    let exports = Exports::start("archives").await;
    exports.put("marketing/a.csv", "1\n").await;
    for (class, key) in [
        (StorageClass::Glacier, "marketing/cold 1+1.csv"),
        (StorageClass::DeepArchive, "marketing/colder.csv"),
        (StorageClass::GlacierIr, "marketing/instant.csv"),
        (StorageClass::StandardIa, "marketing/seldom.csv"),
    ] {
        exports.put_as(class, key, "2\n").await;
    }
    let key = "  key: \"{delivery}/{name}\"\n";
    for (name, file) in [("cold", "cold 1+1.csv"), ("colder", "colder.csv")] {
        let source = format!("prefix: marketing/, include: [a.csv, \"{file}\"]");
        exports.deliver(name, &source, key);
        let message = exports.fails(name, "SourceUnreadable").await;
        let place = format!("s3://{}/marketing/{file}", exports.ours.name());
        for words in [
            &*place,
            "InvalidObjectState",
            "in an archive",
            "restore it",
            "exclude it",
        ] {
            assert!(message.contains(words), "{words} isn't in {message}");
        }
    }
    exports.companies.holds_only(&[]).await;
    let begun = exports.companies.asked().into_iter();
    let begun = begun.filter(|request| request.key.ends_with(".csv"));
    assert_eq!(begun.count(), 0, "something was sent");

    // Without them, of whatever class the others are.
    exports.deliver("rest", "prefix: marketing/, exclude: [\"cold*\"]", key);
    exports.completes("rest").await;
    let names: Vec<_> = exports.delivered("rest/").into_keys().collect();
    assert_eq!(names, ["a.csv", "instant.csv", "seldom.csv"]);

    // A restored copy is as good, though the class stays what it was.
    exports.ours.set_archived("marketing/cold 1+1.csv", false);
    exports.world().request("obdel", "cold", "restored").await;
    exports.completes("cold").await;
    let names: Vec<_> = exports.delivered("cold/").into_keys().collect();
    assert_eq!(names, ["a.csv", "cold 1+1.csv"]);
}

/// Those of S3 Intelligent-Tiering, whose objects all are of one class.
#[tokio::test]
async fn an_archive_that_no_listing_tells_of_is_told_when_it_is_read() {
    let exports = Exports::start("tiered").await;
    let key = "marketing/tiered.csv";
    let class = StorageClass::IntelligentTiering;
    exports.put_as(class, key, "1\n").await;
    exports.ours.set_archived(key, true);
    exports.deliver("tiered", "prefix: marketing/", "");
    let message = exports.fails("tiered", "SourceUnreadable").await;
    assert!(
        message.contains(key) && message.contains("in an archive"),
        "{message}"
    );
    exports.companies.holds_only(&[]).await;
    exports.ours.set_archived(key, false);
    exports.world().request("obdel", "tiered", "restored").await;
    exports.completes("tiered").await;
    assert_eq!(exports.delivered("")["tiered.csv"], b"1\n");
}
