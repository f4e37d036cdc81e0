import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own Java client. */
public final class Bench {
    public static void main(String[] words) throws Exception {
        Measure measure = new Measure(words);
        switch (words[0]) {
            case "produce" -> produce(measure);
            case "consume" -> consume(measure);
            case "queue" -> share(measure);
            default -> throw new IllegalArgumentException("no mode " + words[0]);
        }
    }

    private static Properties properties(Measure measure) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", measure.text("brokers"));
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return properties;
    }

    /** Idempotence and acks=all are its defaults. */
    private static void produce(Measure measure) {
        Properties properties = properties(measure);
        properties.put("linger.ms", measure.text("linger_ms"));
        properties.put("batch.size", measure.text("batch_bytes"));
        byte[][] payloads = Measure.payloads(measure.number("size"));
        AtomicLong delivered = new AtomicLong(), failed = new AtomicLong();
        int warmup = measure.number("warmup"), records = measure.number("records");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
            for (int run : new int[] {warmup, records}) {
                measure.start();
                for (int number = 0; number < run; number++) {
                    producer.send(
                        new ProducerRecord<>(measure.text("topic"), payloads[number % payloads.length]),
                        (metadata, error) -> (error == null ? delivered : failed).incrementAndGet());
                }
                producer.flush();
            }
            System.out.println(measure.report("java", "produce", records));
        }
        if (failed.get() != 0 || delivered.get() != warmup + records) throw new IllegalStateException("not delivered");
    }

    /** The CRC is checked by default. */
    private static void consume(Measure measure) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int i = 0; i < measure.number("partitions"); i++) {
            partitions.add(new TopicPartition(measure.text("topic"), i));
        }
        long bytes = 0, total = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties(measure))) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long from = 0;
            for (int run : new int[] {measure.number("warmup"), measure.number("records")}) {
                measure.start();
                from = total;
                while (total < from + run) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(10))) {
                        bytes += record.value().length;
                        total++;
                    }
                }
            }
            System.out.println(measure.report("java", "consume", total - from));
        }
        if (bytes != total * measure.number("size")) throw new IllegalStateException("wrong sizes");
    }

    /** A share group: one member a handler, since a share consumer works on one thread. */
    private static void share(Measure measure) throws Exception {
        String group = measure.text("group");
        int handlers = measure.number("handlers"), millis = measure.number("handler_ms");
        String ideal = measure.ideal("share-group");
        Properties properties = properties(measure);
        try (Admin admin = Admin.create(properties)) {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
            AlterConfigOp earliest =
                new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(earliest))).all().get();
        }
        properties.put("group.id", group);
        if (measure.text("tuned", "").equals("1")) {
            // A member takes only what it asks for, and a tenth of a second's work at a time.
            properties.put("share.acquire.mode", "record_limit");
            properties.put("max.poll.records", String.valueOf(Math.max(1, 100 / millis)));
        }
        AtomicLong handled = new AtomicLong();
        for (int i = 0; i < handlers; i++) {
            Thread thread = new Thread(() -> {
                KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(properties);
                consumer.subscribe(List.of(measure.text("topic")));
                while (true) {
                    // The next poll acknowledges these.
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(10))) {
                        try {
                            Thread.sleep(millis);
                        } catch (InterruptedException e) {
                            return;
                        }
                        handled.incrementAndGet();
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        String line = measure.window("share-group", "queue", handled, measure.number("warmup_seconds"));
        System.out.println(ideal);
        System.out.println(line);
        Runtime.getRuntime().halt(0);
    }
}
