"""The unmodified Python cassandra-driver against a node of ours: python_driver.py PORT. Ends with 'ok'."""
import sys
import time
import uuid
from collections import namedtuple

from cassandra import AlreadyExists, InvalidRequest, ProtocolVersion
from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import BatchStatement, SimpleStatement, dict_factory

PORT = int(sys.argv[1])


def check(got, expected, what):
    if got != expected:
        raise SystemExit(f"{what}: got {got!r}, expected {expected!r}")


def run(version, compression):
    cluster = Cluster(["127.0.0.1"], port=PORT, protocol_version=version, compression=compression)
    session = cluster.connect()
    ks = f"py{version}{'c' if compression else 'p'}"
    session.execute(f"CREATE KEYSPACE {ks} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    session.set_keyspace(ks)
    session.execute("CREATE TYPE addr (street text, zip int)")
    session.execute("CREATE TABLE t (k int, c int, s text static, v text, l list<int>, m map<text,int>, a frozen<addr>, tp tuple<int,text>, PRIMARY KEY (k, c))")
    Addr = namedtuple("addr", ["street", "zip"])
    cluster.register_user_type(ks, "addr", Addr)

    insert = session.prepare("INSERT INTO t (k, c, v, l, m, a, tp) VALUES (?, ?, ?, ?, ?, ?, ?)")
    args = [(i % 10, i, f"v{i}", [i, i + 1], {"x": i}, Addr("s", i), (i, "t")) for i in range(1000)]
    results = execute_concurrent_with_args(session, insert, args, concurrency=100)
    check(all(ok for ok, _ in results), True, "concurrent inserts")
    check(insert.routing_key_indexes, [0], "routing key")

    row = session.execute(session.prepare("SELECT * FROM t WHERE k = ? AND c = ?"), (3, 13)).one()
    check((row.v, row.l, row.m, row.a, row.tp), ("v13", [13, 14], {"x": 13}, Addr("s", 13), (13, "t")), "row")

    statement = SimpleStatement("SELECT c FROM t", fetch_size=70)
    check(sorted(r.c for r in session.execute(statement)), list(range(1000)), "paging")
    statement = SimpleStatement("SELECT c FROM t WHERE k = 4 ORDER BY c DESC LIMIT 25", fetch_size=10)
    check([r.c for r in session.execute(statement)], list(range(994, 744, -10)), "reversed paging with a limit")

    batch = BatchStatement()
    batch.add(insert, (50, 1, "b", None, None, None, None))
    batch.add(SimpleStatement("UPDATE t SET s = 'st' WHERE k = 50"))
    session.execute(batch)
    check(tuple(session.execute("SELECT s, v FROM t WHERE k = 50").one()), ("st", "b"), "batch")

    lwt = session.execute("UPDATE t SET v = 'n' WHERE k = 50 AND c = 1 IF v = 'x'")
    check((lwt.was_applied, lwt.one().v), (False, "b"), "conditional update")
    if version >= 4:
        unset = session.prepare("INSERT INTO t (k, c, v) VALUES (?, ?, ?)")
        session.execute(unset, (50, 1))
        check(session.execute("SELECT v FROM t WHERE k = 50 AND c = 1").one().v, "b", "unset")
    named = session.prepare("SELECT v FROM t WHERE k = :key AND c = :c")
    check(session.execute(named, {"key": 50, "c": 1}).one().v, "b", "named values")
    if version >= 4:
        found = session.execute(SimpleStatement("SELECT count(*) FROM t")).response_future
        check(found.warnings, ["Aggregation query used without partition key"], "warnings")

    session.execute(session.prepare("INSERT INTO t (k, c, v) VALUES (60, 1, 'ttl') USING TTL 1000 AND TIMESTAMP 12345"))
    row = session.execute("SELECT ttl(v) AS ttl, writetime(v) AS wt FROM t WHERE k = 60 AND c = 1").one()
    check((990 < row.ttl <= 1000, row.wt), (True, 12345), "ttl and writetime")

    trace = session.execute("SELECT * FROM t WHERE k = 1", trace=True).get_query_trace(10)
    check(len(trace.events) >= 3, True, "trace")
    try:
        session.execute("SELECT nothing FROM t")
        raise SystemExit("an unknown column was accepted")
    except InvalidRequest:
        pass
    try:
        session.execute("CREATE TABLE t (k int PRIMARY KEY)")
        raise SystemExit("a second table t was made")
    except AlreadyExists as error:
        check((error.keyspace, error.table), (ks, "t"), "already exists")

    meta = cluster.metadata.keyspaces[ks]
    check(set(meta.tables), {"t"}, "tables in metadata")
    check(meta.user_types["addr"].field_names, ["street", "zip"], "types in metadata")
    check([c.name for c in meta.tables["t"].primary_key], ["k", "c"], "primary key in metadata")
    check("CREATE TABLE" in meta.tables["t"].export_as_string(), True, "DDL of the driver")
    cluster.shutdown()


for v in (3, 4, 5):
    for compressed in (False, True):
        run(v, compressed)
print("ok")
