import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Parallel Consumer. */
public final class Bench {
    public static void main(String[] words) throws Exception {
        Measure measure = new Measure(words);
        int handlers = measure.number("handlers"), millis = measure.number("handler_ms");
        int warmup = measure.number("warmup"), records = measure.number("records");
        String ideal = measure.ideal("parallel-consumer");

        Properties properties = new Properties();
        properties.put("bootstrap.servers", measure.text("brokers"));
        properties.put("group.id", measure.text("group"));
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        boolean byKey = measure.text("order", "unordered").equals("key");
        ParallelConsumerOptions<byte[], byte[]> options = ParallelConsumerOptions.<byte[], byte[]>builder()
            .consumer(new KafkaConsumer<>(properties))
            .ordering(byKey
                ? ParallelConsumerOptions.ProcessingOrder.KEY
                : ParallelConsumerOptions.ProcessingOrder.UNORDERED)
            .maxConcurrency(handlers)
            .build();
        ParallelStreamProcessor<byte[], byte[]> processor = ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(measure.text("topic")));

        AtomicLong handled = new AtomicLong();
        CountDownLatch done = new CountDownLatch(1);
        String[] line = new String[1];
        processor.poll(context -> {
            try {
                Thread.sleep(millis);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
            long count = handled.incrementAndGet();
            if (count == warmup) measure.start();
            if (count == warmup + records) {
                line[0] = measure.report("parallel-consumer", "queue", records);
                done.countDown();
            }
        });
        done.await();
        System.out.println(ideal);
        System.out.println(line[0]);
        Runtime.getRuntime().halt(0);
    }
}
