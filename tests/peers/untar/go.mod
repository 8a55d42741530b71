// Go's own reader of a tar, the one of influxd, and nothing else.
module icecore/tests/peers/untar

go 1.25.0
