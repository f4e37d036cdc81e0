import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/** Settings, payloads and the clock, as in the other peers (see ../../../../../measure). */
final class Measure {
    private final Map<String, String> settings = new HashMap<>();
    private long started;
    private long cpu;

    Measure(String[] words) {
        for (int i = 1; i < words.length; i++) {
            String[] parts = words[i].split("=", 2);
            settings.put(parts[0], parts[1]);
        }
    }

    String text(String name) {
        String value = settings.get(name);
        if (value == null) throw new IllegalArgumentException(name + "= is missing");
        return value;
    }

    String text(String name, String otherwise) {
        return settings.getOrDefault(name, otherwise);
    }

    int number(String name) {
        return Integer.parseInt(text(name));
    }

    /** The same bytes in every peer: SplitMix64, seeded with the payload's number. */
    static byte[][] payloads(int size) {
        byte[][] all = new byte[4096][size];
        for (int number = 0; number < all.length; number++) {
            long state = number;
            for (int at = 0; at < size; at += 8) {
                state += 0x9e3779b97f4a7c15L;
                long mixed = (state ^ (state >>> 30)) * 0xbf58476d1ce4e5b9L;
                mixed = (mixed ^ (mixed >>> 27)) * 0x94d049bb133111ebL;
                mixed ^= mixed >>> 31;
                for (int i = 0; i < 8 && at + i < size; i++) all[number][at + i] = (byte) (mixed >>> (8 * i));
            }
        }
        return all;
    }

    /** The whole process: compiler and collector threads too. */
    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime();
    }

    void start() {
        started = System.nanoTime();
        cpu = cpuNanos();
    }

    String report(String peer, String mode, long records) {
        double seconds = (System.nanoTime() - started) / 1e9;
        double used = (cpuNanos() - cpu) / 1e9;
        return String.format(
            java.util.Locale.ROOT,
            "{\"peer\":\"%s\",\"mode\":\"%s\",\"records\":%d,\"seconds\":%.6f,\"cpu_seconds\":%.6f}",
            peer, mode, records, seconds, used);
    }

    /** The ideal of a queue: the same handlers in a bare loop, each on its own thread. */
    String ideal(String peer) throws InterruptedException {
        int handlers = number("handlers"), millis = number("handler_ms");
        AtomicLong handled = new AtomicLong();
        AtomicBoolean over = new AtomicBoolean();
        Thread[] threads = new Thread[handlers];
        for (int i = 0; i < handlers; i++) {
            threads[i] = new Thread(() -> {
                try {
                    while (!over.get()) {
                        Thread.sleep(millis);
                        handled.incrementAndGet();
                    }
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            });
            threads[i].start();
        }
        String line = window(peer, "ideal", handled, 1);
        over.set(true);
        for (Thread thread : threads) thread.join();
        return line;
    }

    /** Waits for the first record and so many seconds more, then counts for `seconds`. */
    String window(String peer, String mode, AtomicLong handled, int warmupSeconds) throws InterruptedException {
        while (handled.get() == 0) Thread.sleep(10);
        Thread.sleep(1000L * warmupSeconds);
        start();
        long before = handled.get();
        Thread.sleep(1000L * number("seconds"));
        return report(peer, mode, handled.get() - before);
    }
}
