// bbolt as influxd 2.9 links it: go build -modfile=influxd.mod
module icecore/tests/peers/bbolt

go 1.25.0

require go.etcd.io/bbolt v1.3.6

require golang.org/x/sys v0.0.0-20200923182605-d9f96fdee20d // indirect
