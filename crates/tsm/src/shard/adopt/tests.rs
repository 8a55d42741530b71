use super::*;
use crate::format::manifest::LiveFile;

const A: &str = "000000001-000000001";
const B: &str = "000000002-000000001";
const C: &str = "000000003-000000001";

fn name(stem: &str) -> FileName {
    FileName::parse(&format!("{stem}.tsm")).unwrap()
}

fn digest(of: &str) -> Digest {
    blake3::hash(of.as_bytes())
}

fn stat(size: u64, modified_ns: i64) -> Stat {
    Stat { size, modified_ns, mode: 0o600, uid: 0, gid: 0 }
}

fn sealed(of: &str, len: u64, modified_ns: i64) -> Sealed {
    Sealed { len, modified_ns, digest: digest(of) }
}

/// A is live without a tombstone, B with one, C is replaced.
fn manifest() -> Manifest {
    let a = LiveFile { file: sealed("a", 100, 10), tombstone: None };
    let b = LiveFile { file: sealed("b", 200, 20), tombstone: Some(sealed("b deletes", 50, 25)) };
    let (live, replaced) = ([(name(A), a), (name(B), b)].into(), [name(C)].into());
    Manifest { number: 3, flushed: 9, live, replaced, fields: None }
}

/// What is there when nothing happened, and then these files instead; a file without a length is gone.
fn listing(changes: &[(String, Option<Stat>)]) -> Listing {
    let mut files = BTreeMap::from([
        (format!("{A}.tsm"), stat(100, 10)),
        (format!("{A}.tsmsum"), stat(85, 11)),
        (format!("{B}.tsm"), stat(200, 20)),
        (format!("{B}.tsmsum"), stat(85, 21)),
        (format!("{B}.tombstone"), stat(50, 25)),
    ]);
    for (name, change) in changes {
        match change {
            Some(stat) => drop(files.insert(name.clone(), *stat)),
            None => assert!(files.remove(name).is_some(), "{name} is there"),
        }
    }
    Listing::of(files.iter().map(|(name, stat)| (name.as_str(), *stat)))
}

/// The plan in words: what is opened, then what else there is to do.
fn words(plan: &Plan) -> Vec<String> {
    let known = ["a", "b", "b deletes"];
    let of = |found: Digest| known.into_iter().find(|text| digest(text) == found).unwrap().replace(' ', "-");
    let opened = plan.open.iter().map(|file| {
        let how = file.listed.map_or("adopt".to_owned(), |listed| format!("open-as-{}", of(listed)));
        let sums = if file.has_sums { "" } else { " make-sums" };
        let tombstone = match file.tombstone {
            FoundTombstone::None => String::new(),
            FoundTombstone::Listed(digest) => format!(" deletes-as-{}", of(digest)),
            FoundTombstone::Unlisted => " deletes".to_owned(),
        };
        format!("{} {how}{sums}{tombstone}", file.name.numbers().0)
    });
    let damage =
        plan.damage.iter().map(|fault| format!("damage {}: {} at {}", fault.file, fault.what, fault.at));
    let remove = plan.remove.iter().map(|name| format!("remove {name}"));
    let aside = plan.set_aside.iter().map(|name| format!("aside {name}"));
    let gone = plan.gone.iter().map(|name| format!("gone {name}"));
    opened.chain(damage).chain(remove).chain(aside).chain(gone).collect()
}

fn planned(changes: &[(String, Option<Stat>)], trust: Trust) -> Vec<String> {
    words(&Plan::new(Some(&manifest()), &listing(changes), trust))
}

fn tsm(stem: &str) -> String {
    format!("{stem}.tsm")
}

fn sums(stem: &str) -> String {
    format!("{stem}.tsmsum")
}

fn tombstone(stem: &str) -> String {
    format!("{stem}.tombstone")
}

const OPEN_A: &str = "1 open-as-a";
const OPEN_B: &str = "2 open-as-b deletes-as-b-deletes";

/// What changed in the directory, what follows if only we ran, and what if influxd may have run.
type Case = (&'static str, Vec<(String, Option<Stat>)>, Vec<String>, Vec<String>);

fn case(what: &'static str, changes: Vec<(String, Option<Stat>)>, ours: &[&str], theirs: &[&str]) -> Case {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (what, changes, strings(ours), strings(theirs))
}

fn check(cases: Vec<Case>) {
    for (what, changes, ours, theirs) in cases {
        assert_eq!(planned(&changes, Trust::Manifest), ours, "{what}, only we ran");
        assert_eq!(planned(&changes, Trust::Directory), theirs, "{what}, influxd may have run");
    }
}

#[test]
fn listed_files_are_held_to_the_list_or_named() {
    let as_listed = [OPEN_A, OPEN_B];
    check(vec![
        case("nothing", vec![], &as_listed, &as_listed),
        case(
            "a file vanished",
            vec![(tsm(A), None)],
            &[OPEN_B, &format!("damage {A}.tsm: a file that icecore.manifest lists is missing at 0")],
            &[OPEN_B, &format!("remove {A}.tsmsum"), &format!("gone {A}.tsm")],
        ),
        case(
            "influxd could not read a file",
            vec![(tsm(A), None), (format!("{A}.tsm.bad"), Some(stat(100, 10)))],
            &[OPEN_B, &format!("damage {A}.tsm: a file that icecore.manifest lists is missing at 0")],
            &[
                OPEN_B,
                &format!(
                    "damage {A}.tsm.bad: influxd could not read a file that icecore.manifest lists, and set it aside at 0"
                ),
                &format!("remove {A}.tsmsum"),
            ],
        ),
        case(
            "influxd could not read another file",
            vec![("000000009-000000001.tsm.bad".to_owned(), Some(stat(7, 7)))],
            &as_listed,
            &as_listed,
        ),
        case(
            "a file was cut",
            vec![(tsm(A), Some(stat(99, 10)))],
            &[OPEN_B, &format!("damage {A}.tsm: a file has another length than icecore.manifest says at 99")],
            &["1 adopt make-sums", OPEN_B],
        ),
        case(
            "a file grew, under its time",
            vec![(tsm(A), Some(stat(101, 10)))],
            &[
                OPEN_B,
                &format!("damage {A}.tsm: a file has another length than icecore.manifest says at 100"),
            ],
            &["1 adopt make-sums", OPEN_B],
        ),
        case(
            "a file has another time, as when a directory was copied",
            vec![(tsm(A), Some(stat(100, 9)))],
            &as_listed,
            &["1 adopt make-sums", OPEN_B],
        ),
    ]);
}

#[test]
fn files_that_are_not_live_are_removed_if_replaced_and_never_taken_for_ours() {
    let d = "000000004-000000001";
    check(vec![
        case(
            "a replaced file is still there, with all that lies beside it",
            vec![(tsm(C), Some(stat(7, 7))), (tombstone(C), Some(stat(7, 7))), (sums(C), Some(stat(85, 7)))],
            &[
                OPEN_A,
                OPEN_B,
                &format!("remove {C}.tsm"),
                &format!("remove {C}.tombstone"),
                &format!("remove {C}.tsmsum"),
            ],
            &[OPEN_A, OPEN_B, "3 adopt make-sums deletes"],
        ),
        case(
            "a stray file",
            vec![(tsm(d), Some(stat(7, 7))), (tombstone(d), Some(stat(7, 7))), (sums(d), Some(stat(85, 7)))],
            &[
                OPEN_A,
                OPEN_B,
                &format!("remove {d}.tsmsum"),
                &format!("aside {d}.tsm"),
                &format!("aside {d}.tombstone"),
            ],
            &[OPEN_A, OPEN_B, "4 adopt make-sums deletes"],
        ),
        case(
            "a name that is not two numbers",
            vec![("1-1.tsm".to_owned(), Some(stat(7, 7)))],
            &[OPEN_A, OPEN_B, "aside 1-1.tsm"],
            &[OPEN_A, OPEN_B, "damage 1-1.tsm: the name of a TSM file is not two numbers at 0"],
        ),
        case(
            "other names",
            vec![
                ("fields.idx".to_owned(), Some(stat(7, 7))),
                (format!("{d}.tsm.stray"), Some(stat(7, 7))),
                (format!("{d}.tsm.tmp"), Some(stat(7, 7))),
            ],
            &[OPEN_A, OPEN_B],
            &[OPEN_A, OPEN_B],
        ),
    ]);
}

#[test]
fn a_tombstone_is_the_listed_one_or_a_newer_one() {
    let missing = format!("damage {B}.tombstone: a tombstone that icecore.manifest lists is missing at 0");
    let length = |at| {
        format!("damage {B}.tombstone: a tombstone has another length than icecore.manifest says at {at}")
    };
    check(vec![
        case(
            "the tombstone vanished",
            vec![(tombstone(B), None)],
            &[OPEN_A, "2 open-as-b", &missing],
            &[OPEN_A, "2 open-as-b", &missing],
        ),
        case(
            "file and tombstone vanished",
            vec![(tsm(B), None), (tombstone(B), None), (sums(B), None)],
            &[OPEN_A, &format!("damage {B}.tsm: a file that icecore.manifest lists is missing at 0")],
            &[OPEN_A, &format!("gone {B}.tsm")],
        ),
        case(
            "the tombstone vanished beside a file that is another one",
            vec![(tsm(B), Some(stat(200, 99))), (tombstone(B), None)],
            &[OPEN_A, "2 open-as-b", &missing],
            &[OPEN_A, "2 adopt make-sums"],
        ),
        case(
            "a file lost its place before its tombstone",
            vec![(tsm(B), None)],
            &[OPEN_A, &format!("damage {B}.tsm: a file that icecore.manifest lists is missing at 0")],
            &[
                OPEN_A,
                &format!("remove {B}.tsmsum"),
                &format!("aside {B}.tombstone"),
                &format!("gone {B}.tsm"),
            ],
        ),
        case(
            "a delete that was not listed yet",
            vec![(tombstone(B), Some(stat(80, 30)))],
            &[OPEN_A, "2 open-as-b deletes"],
            &[OPEN_A, "2 open-as-b deletes"],
        ),
        case(
            "a first delete that was not listed yet",
            vec![(tombstone(A), Some(stat(80, 30)))],
            &["1 open-as-a deletes", OPEN_B],
            &["1 open-as-a deletes", OPEN_B],
        ),
        case(
            "the tombstone was cut, under its time",
            vec![(tombstone(B), Some(stat(49, 25)))],
            &[OPEN_A, OPEN_B, &length(49)],
            &[OPEN_A, "2 open-as-b deletes"],
        ),
        case(
            "the tombstone is as long, and older",
            vec![(tombstone(B), Some(stat(50, 24)))],
            &[OPEN_A, OPEN_B],
            &[OPEN_A, "2 open-as-b deletes"],
        ),
        case(
            "a tombstone without a file",
            vec![(tombstone(C), Some(stat(7, 7))), (tombstone("000000009-000000001"), Some(stat(7, 7)))],
            &[OPEN_A, OPEN_B, &format!("remove {C}.tombstone"), "aside 000000009-000000001.tombstone"],
            &[OPEN_A, OPEN_B, &format!("aside {C}.tombstone"), "aside 000000009-000000001.tombstone"],
        ),
    ]);
}

#[test]
fn sums_that_cannot_be_the_files_are_made_again() {
    let made = ["1 open-as-a make-sums", OPEN_B];
    check(vec![
        case("no sums", vec![(sums(A), None)], &made, &made),
        case("sums of another length", vec![(sums(A), Some(stat(117, 11)))], &made, &made),
        case(
            "sums without a file",
            vec![(sums(C), Some(stat(85, 7))), (sums("000000009-000000001"), Some(stat(85, 7)))],
            &[OPEN_A, OPEN_B, &format!("remove {C}.tsmsum"), "remove 000000009-000000001.tsmsum"],
            &[OPEN_A, OPEN_B, &format!("remove {C}.tsmsum"), "remove 000000009-000000001.tsmsum"],
        ),
    ]);
}

#[test]
fn without_a_manifest_a_directory_of_influxd_is_adopted_and_one_of_ours_is_damaged() {
    let adopted = ["1 adopt make-sums", "2 adopt make-sums deletes"];
    let plan = |listing: &Listing, trust| words(&Plan::new(None, listing, trust));
    // Sums that were left behind would be damage as soon as nobody else has run.
    let removed = [A, B].map(|stem| format!("remove {stem}.tsmsum"));
    let forgotten = [&adopted[..], &removed.each_ref().map(String::as_str)].concat();
    assert_eq!(plan(&listing(&[]), Trust::Directory), forgotten);
    let without_sums = listing(&[(sums(A), None), (sums(B), None)]);
    for trust in [Trust::Manifest, Trust::Directory] {
        assert_eq!(plan(&without_sums, trust), adopted);
    }
    let damaged = [&adopted[..], &["damage icecore.manifest: the manifest is missing at 0"]].concat();
    assert_eq!(plan(&listing(&[]), Trust::Manifest), damaged);
    for trust in [Trust::Manifest, Trust::Directory] {
        assert_eq!(plan(&Listing::default(), trust), [""; 0], "a new shard");
    }
}

#[test]
fn a_manifest_is_written_anew_exactly_when_it_does_not_say_what_is_opened() {
    let is_news = |changes: &[(String, Option<Stat>)], trust| {
        Plan::new(Some(&manifest()), &listing(changes), trust).is_news()
    };
    for trust in [Trust::Manifest, Trust::Directory] {
        assert!(!is_news(&[], trust) && !is_news(&[(sums(A), None)], trust));
        assert!(is_news(&[(tombstone(A), Some(stat(80, 30)))], trust));
    }
    assert!(is_news(&[(tsm(A), None)], Trust::Directory));
    assert!(is_news(&[(tsm(C), Some(stat(7, 7)))], Trust::Directory));
    assert!(!is_news(&[(tsm(C), Some(stat(7, 7)))], Trust::Manifest), "removing it is enough");
}

#[test]
fn damage_names_its_file_in_the_directory_and_names_set_aside_are_nobodys() {
    let plan = Plan::new(Some(&manifest()), &listing(&[(tsm(A), None)]), Trust::Manifest);
    let errors: Vec<_> = plan.errors(Path::new("/shard")).map(|error| error.to_string()).collect();
    assert_eq!(
        errors,
        [format!("/shard/{A}.tsm: damaged: a file that icecore.manifest lists is missing at byte 0")]
    );
    let names: Vec<_> = aside(&tsm(A)).take(3).collect();
    assert_eq!(names, [format!("{A}.tsm.stray"), format!("{A}.tsm.stray.2"), format!("{A}.tsm.stray.3")]);
    let listing = Listing::of(names.iter().map(|name| (name.as_str(), stat(1, 1))));
    assert_eq!(listing, Listing::default());
}
