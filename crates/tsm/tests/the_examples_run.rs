//! The examples of this crate hold what they assert.

#[path = "../examples/back_up_and_verify.rs"]
mod back_up_and_verify;
#[path = "../examples/blocks.rs"]
mod blocks;
#[path = "../examples/delete.rs"]
mod delete;
#[path = "../examples/shard.rs"]
mod shard;
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
