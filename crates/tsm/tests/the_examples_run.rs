//! The examples of this crate hold what they assert.

#[path = "../examples/back_up_and_verify.rs"]
mod back_up_and_verify;
#[path = "../examples/blocks.rs"]
mod blocks;
#[path = "../examples/custom_disk.rs"]
mod custom_disk;
#[path = "../examples/delete.rs"]
mod delete;
#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/shard.rs"]
mod shard;
#[path = "../examples/snapshot_since.rs"]
mod snapshot_since;
#[path = "../examples/write_and_read.rs"]
mod write_and_read;

#[test]
fn blocks_become_bytes_and_points_again() {
    blocks::main().unwrap();
}

#[test]
fn a_file_is_written_and_a_range_of_it_read() {
    write_and_read::main().unwrap();
}

#[test]
fn a_shard_is_read_as_one() {
    shard::main().unwrap();
}

#[test]
fn deletes_lie_beside_the_file() {
    delete::main().unwrap();
}

#[test]
fn a_backup_is_verified() {
    back_up_and_verify::main().unwrap();
}

#[test]
fn an_engine_lives_in_another_program() {
    embed::main().unwrap();
}

#[test]
fn a_second_backup_takes_what_is_new() {
    snapshot_since::main().unwrap();
}

#[test]
fn a_disk_can_be_anything() {
    custom_disk::main().unwrap();
}
