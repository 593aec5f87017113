// The unmodified Java driver against a node of ours: Driver PORT. Ends with "ok".

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.BatchStatement;
import com.datastax.oss.driver.api.core.cql.DefaultBatchType;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.ResultSet;
import com.datastax.oss.driver.api.core.cql.Row;
import com.datastax.oss.driver.api.core.cql.SimpleStatement;
import com.datastax.oss.driver.api.core.data.CqlVector;
import com.datastax.oss.driver.api.core.data.TupleValue;
import com.datastax.oss.driver.api.core.data.UdtValue;
import com.datastax.oss.driver.api.core.servererrors.InvalidQueryException;
import com.datastax.oss.driver.api.core.type.DataTypes;
import com.datastax.oss.driver.api.core.type.TupleType;
import com.datastax.oss.driver.api.core.type.UserDefinedType;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

public final class Driver {
  static void check(Object got, Object expected, String what) {
    if (!Objects.equals(got, expected)) {
      throw new AssertionError(what + ": got " + got + ", expected " + expected);
    }
  }

  static void run(int port, String version, String compression) {
    var config =
        DriverConfigLoader.programmaticBuilder()
            .withString(DefaultDriverOption.PROTOCOL_VERSION, version)
            .withString(DefaultDriverOption.PROTOCOL_COMPRESSION, compression)
            .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(20))
            .build();
    try (CqlSession session =
        CqlSession.builder()
            .addContactPoint(new InetSocketAddress("127.0.0.1", port))
            .withLocalDatacenter("datacenter1")
            .withConfigLoader(config)
            .build()) {
      String ks = "java_" + version.toLowerCase();
      session.execute(
          "CREATE KEYSPACE " + ks
              + " WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}");
      session.execute("CREATE TYPE " + ks + ".addr (street text, zip int)");
      session.execute(
          "CREATE TABLE " + ks
              + ".t (k int, c int, l list<int>, m map<text, int>, a frozen<addr>, t tuple<int, text>, v vector<float, 2>, PRIMARY KEY (k, c))");
      var keyspace = session.getMetadata().getKeyspace(ks).orElseThrow();
      UserDefinedType addr = keyspace.getUserDefinedType("addr").orElseThrow();
      TupleType tuple = DataTypes.tupleOf(DataTypes.INT, DataTypes.TEXT);
      PreparedStatement insert =
          session.prepare("INSERT INTO " + ks + ".t (k, c, l, m, a, t, v) VALUES (?, ?, ?, ?, ?, ?, ?)");
      for (int c = 0; c < 200; c++) {
        UdtValue a = addr.newValue("s", c);
        TupleValue t = tuple.newValue(c, "t");
        session.execute(
            insert.bind(1, c, List.of(c, c + 1), Map.of("x", c), a, t, CqlVector.newInstance(0.5f, (float) c)));
      }
      Row row = session.execute("SELECT * FROM " + ks + ".t WHERE k = 1 AND c = 7").one();
      check(row.getList("l", Integer.class), List.of(7, 8), "list");
      check(row.getMap("m", String.class, Integer.class), Map.of("x", 7), "map");
      check(row.getUdtValue("a").getInt("zip"), 7, "user type");
      check(row.getTupleValue("t").getString(1), "t", "tuple");
      check(row.getVector("v", Float.class).get(1), 7.0f, "vector");
      List<Integer> seen = new ArrayList<>();
      var paged = SimpleStatement.newInstance("SELECT c FROM " + ks + ".t").setPageSize(17);
      for (Row r : session.execute(paged)) seen.add(r.getInt(0));
      check(seen.size(), 200, "paged rows");
      ResultSet refused = session.execute("INSERT INTO " + ks + ".t (k, c) VALUES (1, 1) IF NOT EXISTS");
      check(refused.wasApplied(), false, "conditional insert");
      var batch = BatchStatement.builder(DefaultBatchType.LOGGED);
      for (int k = 10; k < 20; k++) {
        batch.addStatement(insert.bind(k, 0, null, null, null, null, null));
      }
      session.execute(batch.build());
      check(session.execute("SELECT count(*) FROM " + ks + ".t").one().getLong(0), 210L, "count");
      var traced =
          session.execute(SimpleStatement.newInstance("SELECT * FROM " + ks + ".t WHERE k = 1").setTracing(true));
      check(traced.getExecutionInfo().getQueryTrace().getEvents().size() >= 3, true, "trace");
      session.execute("ALTER TABLE " + ks + ".t ADD extra text");
      session.refreshSchema();
      check(
          session.getMetadata().getKeyspace(ks).orElseThrow().getTable("t").orElseThrow().getColumn("extra").isPresent(),
          true,
          "a new column in metadata");
      check(session.checkSchemaAgreement(), true, "schema agreement");
      try {
        session.execute("SELECT nothing FROM " + ks + ".t");
        throw new AssertionError("an unknown column was accepted");
      } catch (InvalidQueryException expected) {
        check(expected.getMessage().contains("Undefined column name"), true, "message");
      }
    }
  }

  public static void main(String[] args) {
    int port = Integer.parseInt(args[0]);
    run(port, "V3", "none");
    run(port, "V4", "lz4");
    run(port, "V5", "lz4");
    System.out.println("ok");
  }
}
