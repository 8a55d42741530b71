"""Unpacks an archive with Python's own tarfile: python untar.py FILE DIR. Every entry is to be a regular file."""

import sys
import tarfile


def main(file, directory):
    with tarfile.open(file, "r:") as archive:
        for member in archive:
            if not member.isreg():
                sys.exit(f"{member.name} is of type {member.type!r}")
            archive.extract(member, directory, filter="data")


main(*sys.argv[1:])
