// bbolt as it is today. influxd.mod beside this has the version that influxd 2.9 links.
module icecore/tests/peers/bbolt

go 1.25.0

require go.etcd.io/bbolt v1.5.0

require golang.org/x/sys v0.45.0 // indirect
