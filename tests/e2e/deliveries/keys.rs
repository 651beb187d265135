//! Where a file is cut, and what the objects are called.

use super::{assert_same, completes, deliver, delivered, joined, names, table};
use crate::support::World;

#[tokio::test]
async fn records_end_where_the_delimiter_says() {
    let world = World::start("keys-delimiter").await;
    world.access_key_destination("acme", "").await;
    let bars: Vec<u8> = table(1, 30_000)
        .iter()
        .map(|b| if *b == b'\n' { b'|' } else { *b })
        .collect();
    let crlf = String::from_utf8_lossy(&table(2, 30_000)).replace('\n', "\r\nx\n");
    let crlf = format!("{crlf}\r\n");
    world.file("bars.csv", &bars);
    world.file("crlf.csv", &crlf);
    deliver(
        &world,
        "bars",
        "bars.csv",
        "  split: {size: 10k, delimiter: \"|\"}\n",
    );
    deliver(
        &world,
        "crlf",
        "crlf.csv",
        "  split: {size: 10k, delimiter: \"\\r\\n\"}\n",
    );
    deliver(
        &world,
        "bytes",
        "bars.csv",
        "  split: {size: 10k, boundary: Byte}\n  key: \"bytes{split}\"\n",
    );

    let delivery = completes(&world, "bars").await;
    for (name, bytes) in delivered(&world.bucket, &delivery) {
        assert!(bytes.len() <= 10_000 && bytes.ends_with(b"|"), "{name}");
    }
    assert_same(&joined(&world.bucket, &delivery), &bars);

    let delivery = completes(&world, "crlf").await;
    let objects = delivered(&world.bucket, &delivery);
    assert!(objects.len() > 3);
    for (name, bytes) in objects {
        assert!(bytes.len() <= 10_000 && bytes.ends_with(b"\r\n"), "{name}");
    }
    assert_same(&joined(&world.bucket, &delivery), crlf.as_bytes());

    let delivery = completes(&world, "bytes").await;
    let lengths = delivered(&world.bucket, &delivery)
        .iter()
        .map(|it| it.1.len())
        .collect::<Vec<_>>();
    assert_eq!(lengths, [10_000, 10_000, 10_000]);
    assert_same(&joined(&world.bucket, &delivery), &bars);
}

#[tokio::test]
async fn a_file_of_exactly_the_size_is_one_object_and_one_byte_more_makes_two() {
    let world = World::start("keys-size").await;
    world.access_key_destination("acme", "").await;
    world.file("exact.csv", table(3, 1000));
    world.file("more.csv", [&table(4, 1000)[..], b"x"].concat());
    world.file("empty.csv", "");
    // Records of 100 bytes: one ends on each cut.
    world.file("even.csv", format!("{}\n", "e".repeat(99)).repeat(20));
    deliver(&world, "sizes", "*.csv", "  split: {size: 1000}\n");
    let delivery = completes(&world, "sizes").await;
    let found: Vec<_> = delivered(&world.bucket, &delivery)
        .into_iter()
        .map(|(name, bytes)| (name, bytes.len()))
        .collect();
    let wanted = [
        ("empty.csv", 0),
        ("even-001.csv", 1000),
        ("even-002.csv", 1000),
        ("exact.csv", 1000),
        ("more-001.csv", 1000),
        ("more-002.csv", 1),
    ];
    assert_eq!(found, wanted.map(|(name, len)| (name.to_owned(), len)));
    assert_eq!(world.bucket.files()["audience/more-002.csv"], b"x");
}

#[tokio::test]
async fn an_empty_file_alone_is_one_empty_object() {
    let world = World::start("keys-empty").await;
    world.access_key_destination("acme", "").await;
    world.file("empty.csv", "");
    deliver(&world, "empty", "empty.csv", "");
    let delivery = completes(&world, "empty").await;
    assert_eq!(names(&world.bucket, &delivery), ["empty.csv"]);
    assert_eq!(world.bucket.files()["audience/empty.csv"], b"");
    assert_eq!(delivery["status"]["progress"]["percent"], 100);
}

#[tokio::test]
async fn keys_render_every_macro() {
    let world = World::start("keys-macros").await;
    world.access_key_destination("acme", "").await;
    world.file("a b.tar.gz", "1\n2\n");
    let key = "{namespace}/{destination}/{delivery}/{date}/{timestamp}/{name}/{stem}{split}-x{ext}";
    let more = format!(
        "  logicalTime: 2026-11-24T00:00:00+01:00\n  split: {{size: 2, separator: _}}\n  key: {key:?}\n"
    );
    deliver(&world, "macros", "a b.tar.gz", &more);
    let delivery = completes(&world, "macros").await;
    let start = format!(
        "{}/acme/macros/2026-11-23/1795474800000/a b.tar.gz/a b.tar",
        world.namespace.name()
    );
    let wanted = [format!("{start}_001-x.gz"), format!("{start}_002-x.gz")];
    assert_eq!(names(&world.bucket, &delivery), wanted);
}

#[tokio::test]
async fn without_a_logical_time_keys_carry_the_creation_time() {
    let world = World::start("keys-time").await;
    world.access_key_destination("acme", "").await;
    world.file("a.csv", "1\n");
    deliver(
        &world,
        "now",
        "a.csv",
        "  key: \"{date}-{timestamp}-{name}\"\n",
    );
    let delivery = completes(&world, "now").await;
    let created: jiff::Timestamp = delivery["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let (day, ms) = (created.strftime("%Y-%m-%d"), created.as_millisecond());
    assert_eq!(
        names(&world.bucket, &delivery),
        [format!("{day}-{ms:013}-a.csv")]
    );
}

#[tokio::test]
async fn split_numbers_have_as_many_digits_as_the_largest_needs() {
    let world = World::start("keys-digits").await;
    // With read-back a small object is a single request, which a thousand of them feel.
    super::store::readable_destination(&world).await;
    let source: Vec<u8> = (0..1000_u32)
        .map(|number| b'a' + (number % 23) as u8)
        .collect();
    world.file("a.csv", &source);
    deliver(
        &world,
        "digits",
        "a.csv",
        "  split: {size: 1, boundary: Byte}\n  receipt: {md5: false}\n",
    );
    let delivery = completes(&world, "digits").await;
    // Not measured one by one: a thousand processes tell nothing more.
    assert_eq!(delivery["status"]["progress"]["objectsTotal"], 1000);
    let keys = world.bucket.keys();
    assert_eq!(keys.len(), 1001);
    assert_eq!(
        (keys[0].as_str(), keys[999].as_str()),
        ("audience/a-0001.csv", "audience/a-1000.csv")
    );
    // Sorted by name they are in the file's order.
    let files = world.bucket.files();
    let joined: Vec<u8> = files
        .into_iter()
        .filter(|(key, _)| key.ends_with(".csv"))
        .flat_map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(joined, source);
}
