// The unmodified gocql driver against a node of ours: main PORT. Ends with "ok".
package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/gocql/gocql"
)

func check(got, expected any, what string) {
	if !reflect.DeepEqual(got, expected) {
		fail(fmt.Errorf("%s: got %v, expected %v", what, got, expected))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

type addr struct {
	Street string `cql:"street"`
	Zip    int    `cql:"zip"`
}

func run(port, version int, compressor gocql.Compressor) {
	cluster := gocql.NewCluster("127.0.0.1")
	cluster.Port = port
	cluster.ProtoVersion = version
	cluster.Compressor = compressor
	cluster.Timeout = 10 * time.Second
	session, err := cluster.CreateSession()
	fail(err)
	defer session.Close()
	ks := fmt.Sprintf("go%d", version)
	fail(session.Query("CREATE KEYSPACE " + ks + " WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}").Exec())
	fail(session.Query("CREATE TYPE " + ks + ".addr (street text, zip int)").Exec())
	fail(session.Query("CREATE TABLE " + ks + ".t (k int, c timeuuid, v text, l list<int>, m map<text, int>, a frozen<addr>, PRIMARY KEY (k, c))").Exec())
	ids := []gocql.UUID{}
	for i := 0; i < 100; i++ {
		id := gocql.TimeUUID()
		ids = append(ids, id)
		fail(session.Query("INSERT INTO "+ks+".t (k, c, v, l, m, a) VALUES (?, ?, ?, ?, ?, ?)", 1, id, fmt.Sprint("v", i), []int{i, i + 1}, map[string]int{"x": i}, addr{"s", i}).Exec())
	}
	var v string
	var l []int
	var m map[string]int
	var a addr
	fail(session.Query("SELECT v, l, m, a FROM "+ks+".t WHERE k = ? AND c = ?", 1, ids[7]).Scan(&v, &l, &m, &a))
	check(v, "v7", "text")
	check(l, []int{7, 8}, "list")
	check(m, map[string]int{"x": 7}, "map")
	check(a, addr{"s", 7}, "user type")
	iter := session.Query("SELECT c FROM "+ks+".t WHERE k = 1").PageSize(9).Iter()
	var c gocql.UUID
	count := 0
	for iter.Scan(&c) {
		check(c, ids[count], "order of time uuids")
		count++
	}
	fail(iter.Close())
	check(count, 100, "paged rows")
	applied, err := session.Query("UPDATE "+ks+".t SET v = 'n' WHERE k = 1 AND c = ? IF v = 'no'", ids[0]).ScanCAS(&v)
	fail(err)
	check(applied, false, "conditional update")
	check(v, "v0", "value of a refused update")
	batch := session.NewBatch(gocql.LoggedBatch)
	for k := 10; k < 20; k++ {
		batch.Query("INSERT INTO "+ks+".t (k, c, v) VALUES (?, ?, ?)", k, ids[0], "b")
	}
	fail(session.ExecuteBatch(batch))
	fail(session.Query("SELECT count(*) FROM " + ks + ".t").Scan(&count))
	check(count, 110, "count")
	meta, err := session.KeyspaceMetadata(ks)
	fail(err)
	check(len(meta.Tables["t"].Columns), 6, "columns in metadata")
	err = session.Query("SELECT nothing FROM " + ks + ".t").Exec()
	check(err != nil, true, "an unknown column is refused")
}

func main() {
	port, err := strconv.Atoi(os.Args[1])
	fail(err)
	run(port, 3, nil)
	run(port, 4, gocql.SnappyCompressor{})
	fmt.Println("ok")
}
