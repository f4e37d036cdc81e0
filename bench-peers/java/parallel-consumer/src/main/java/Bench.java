import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Parallel Consumer. */
public final class Bench {
    public static void main(String[] words) throws Exception {
        Measure measure = new Measure(words);
        int handlers = measure.number("handlers"), millis = measure.number("handler_ms");
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
        processor.poll(context -> {
            try {
                Thread.sleep(millis);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
            handled.incrementAndGet();
        });
        String line = measure.window("parallel-consumer", "queue", handled, measure.number("warmup_seconds"));
        System.out.println(ideal);
        System.out.println(line);
        Runtime.getRuntime().halt(0);
    }
}
