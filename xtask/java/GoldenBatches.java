// Writes record batches with Kafka's own Java client, for crates/logmill-protocol/tests/golden/.
// Run by `cargo xtask golden`; what they hold is stated again in tests/records_golden.rs.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;

class GoldenBatches {
    static final long TIME = 1_700_000_000_000L;
    static Path folder;

    public static void main(String[] args) throws Exception {
        folder = Path.of(args[0]);
        data("none", Compression.NONE, 1_000);
        data("gzip", Compression.gzip().build(), 150_000);
        data("snappy", Compression.snappy().build(), 150_000);
        data("lz4", Compression.lz4().build(), 150_000);
        data("zstd", Compression.zstd().build(), 150_000);
        appendTime();
        holes();
        marker("commit", ControlRecordType.COMMIT);
        marker("abort", ControlRecordType.ABORT);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Nulls, empties, repeated headers, times that go back, and a value of several blocks where there are blocks. */
    static void data(String name, Compression compression, int length) throws Exception {
        MemoryRecordsBuilder builder = builder(compression, TimestampType.CREATE_TIME, 7, 3, 41, true, false);
        builder.append(TIME, (byte[]) null, null, new Header[0]);
        builder.append(TIME - 5, bytes(""), bytes(""), new Header[0]);
        Header[] headers = {
            new RecordHeader("a", bytes("1")), new RecordHeader("a", null), new RecordHeader("a", bytes("")),
            new RecordHeader("ü", new byte[] {0, -1}),
        };
        builder.append(TIME + 1_000_000, bytes("key"), null, headers);
        byte[] large = new byte[length];
        for (int i = 0; i < large.length; i++) large[i] = (byte) (i / 64 * 7 + i % 5);
        builder.append(TIME, null, large, new Header[0]);
        write(name, builder);
    }

    static void appendTime() throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(1024);
        MemoryRecordsBuilder builder = MemoryRecords.builder(
            buffer, RecordBatch.CURRENT_MAGIC_VALUE, Compression.NONE, TimestampType.LOG_APPEND_TIME, 5, TIME + 9, 2);
        builder.append(TIME, bytes("k"), bytes("v"));
        builder.append(TIME + 1, bytes("k"), bytes("w"));
        write("log-append-time", builder);
    }

    static void holes() throws Exception {
        MemoryRecordsBuilder builder =
            builder(Compression.NONE, TimestampType.CREATE_TIME, -1, -1, -1, false, false);
        builder.appendWithOffset(102, TIME, bytes("k"), bytes("v"));
        builder.appendWithOffset(105, TIME, bytes("k"), bytes("w"));
        write("holes", builder);
    }

    static void marker(String name, ControlRecordType type) throws Exception {
        MemoryRecordsBuilder builder = builder(Compression.NONE, TimestampType.CREATE_TIME, 7, 3, -1, true, true);
        builder.appendEndTxnMarker(TIME, new EndTransactionMarker(type, 11));
        write(name, builder);
    }

    static MemoryRecordsBuilder builder(
            Compression compression, TimestampType type, long producer, int epoch, int sequence,
            boolean transactional, boolean control) {
        return MemoryRecords.builder(
            ByteBuffer.allocate(1 << 20), RecordBatch.CURRENT_MAGIC_VALUE, compression, type, 100, -1L,
            producer, (short) epoch, sequence, transactional, control, 2);
    }

    static void write(String name, MemoryRecordsBuilder builder) throws Exception {
        ByteBuffer buffer = builder.build().buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(folder.resolve(name + ".batch"), bytes);
    }
}
