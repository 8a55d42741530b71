// Go's own HTTP client, and nothing else.
module icecore/tests/peers/go

go 1.25.0
