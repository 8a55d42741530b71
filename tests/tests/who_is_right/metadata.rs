//! What tells who ran: `influxd.bolt` and `engine/icecore.lock`.

use std::fs;

use icecore_database::{Error, Mode};

use super::scene::{Log, SHARD, Since, open};
use super::{assert_sound, bits, scenes};

const PAGE_LEN: usize = 4096;

#[test]
fn a_flipped_bit_in_the_lock_costs_a_check_and_nothing_else() {
    for scene in scenes(Log::Flushed) {
        let path = scene.copy().path().join("engine/icecore.lock");
        let template = scene.copy();
        assert!(path.ends_with("icecore.lock"));
        for bit in bits(&template.path().join("engine/icecore.lock"), 5) {
            let copy = scene.copy();
            copy.flip(&copy.path().join("engine/icecore.lock"), bit);
            let mended =
                assert_sound(&scene, &copy, &scene.values[&SHARD], &format!("bit {bit} of the lock"));
            assert!(mended.is_empty(), "{mended:?}");
        }
        let copy = scene.copy();
        fs::remove_file(copy.path().join("engine/icecore.lock")).unwrap();
        assert_sound(&scene, &copy, &scene.values[&SHARD], "no lock");
    }
}

/// The page is named, and nothing is opened; or, where it is in no use, nothing is lost.
#[test]
fn a_flipped_bit_in_the_key_value_store_is_named_or_changes_nothing() {
    for scene in scenes(Log::Flushed) {
        let template = scene.copy();
        let bolt = template.path().join("influxd.bolt");
        let len = fs::read(&bolt).unwrap().len();
        let (mut refused, mut sound) = (0, 0);
        // Every page: in its header, or where its elements begin.
        for at in (0..len).step_by(PAGE_LEN).map(|page| page + 9 + page / PAGE_LEN % 2 * 16) {
            let copy = scene.copy();
            let path = copy.path().join("influxd.bolt");
            copy.flip(&path, at * 8 + 3);
            let what = format!("byte {at} of the store");
            match open(copy.path(), Mode::ReadOnly) {
                Ok(database) => {
                    drop(database);
                    assert_sound(&scene, &copy, &scene.values[&SHARD], &what);
                    sound += 1;
                }
                Err(error) => {
                    assert!(error.is_damage(), "{what}: {error}");
                    let source = std::error::Error::source(&error).unwrap().to_string();
                    assert!(source.starts_with(&path.display().to_string()), "{what}: {source}");
                    assert!(source.contains("page"), "{what}: {source}");
                    let again = open(copy.path(), Mode::ReadWrite).map(|_| ()).unwrap_err();
                    assert!(again.is_damage(), "{what}: {again}");
                    refused += 1;
                }
            }
        }
        println!("{:?}: {refused} refused, {sound} without effect", scene.since);
        assert!(refused > 5 && sound > 2);
        if scene.since == Since::OnlyWe {
            // Both meta pages: our last commit is in one of them.
            let mut outcomes = [0, PAGE_LEN].map(|page| {
                let copy = scene.copy();
                copy.flip(&copy.path().join("influxd.bolt"), (page + 16 + 20) * 8);
                open(copy.path(), Mode::ReadWrite).map(|_| ())
            });
            outcomes.sort_by_key(Result::is_ok);
            assert!(matches!(&outcomes[0], Err(Error::Store(_))) && outcomes[1].is_ok(), "{outcomes:?}");
        }
        let copy = scene.copy();
        fs::remove_file(copy.path().join("influxd.bolt")).unwrap();
        for mode in [Mode::ReadOnly, Mode::ReadWrite] {
            let error = open(copy.path(), mode).map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Missing { .. }), "{error}");
        }
    }
}
