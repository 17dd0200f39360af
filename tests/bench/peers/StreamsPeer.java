import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The job in Kafka Streams: one stateful processor, RocksDB with its cache and changelog, exactly_once_v2, JSON by Jackson. */
public final class StreamsPeer {
    static final String STORE = "customers";
    static final long WINDOW = Duration.ofDays(7).toMillis() * 1000;

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Touchpoint {
        public String customer_id, kind, channel, occurred_at, contact_id, topic, ended_by;
    }

    public record Data(String kind, String customer_id, String contact_id, String opened_at) {}

    public record Friction(String type, Data data) {}

    /** What is remembered of a customer; times in microseconds. */
    public static final class Customer {
        public Map<String, List<Long>> starts = new HashMap<>();
        public List<String> answered = new ArrayList<>();
        public long journeyStart, journeyEnd;
        public int touchpoints;

        /** Remember a touchpoint; the friction that it proves, or null. */
        String learn(Touchpoint t) {
            Instant instant = Instant.parse(t.occurred_at);
            long at = instant.getEpochSecond() * 1_000_000 + instant.getNano() / 1000;
            if (touchpoints == 0 || at - journeyEnd > WINDOW) {
                journeyStart = at;
                touchpoints = 0;
            }
            journeyEnd = at;
            touchpoints++;
            switch (t.kind) {
                case "contact.started" -> {
                    List<Long> recent = starts.computeIfAbsent(t.topic, k -> new ArrayList<>());
                    recent.removeIf(start -> start < at - WINDOW);
                    recent.add(at);
                    return recent.size() > 1 ? "repeat_contact" : null;
                }
                case "contact.answered" -> answered.add(t.contact_id);
                case "contact.ended" -> {
                    boolean wasAnswered = answered.remove(t.contact_id);
                    return wasAnswered && t.channel.equals("voice") && "network".equals(t.ended_by) ? "dropped_call" : null;
                }
                default -> { }
            }
            return null;
        }
    }

    static final class Track implements FixedKeyProcessor<String, Touchpoint, Friction> {
        private FixedKeyProcessorContext<String, Friction> context;
        private KeyValueStore<String, Customer> customers;

        @Override
        public void init(FixedKeyProcessorContext<String, Friction> context) {
            this.context = context;
            this.customers = context.getStateStore(STORE);
        }

        @Override
        public void process(FixedKeyRecord<String, Touchpoint> record) {
            Touchpoint t = record.value();
            Customer customer = customers.get(record.key());
            if (customer == null) customer = new Customer();
            String kind = customer.learn(t);
            customers.put(record.key(), customer);
            if (kind != null) {
                Data data = new Data(kind, t.customer_id, t.contact_id, t.occurred_at);
                context.forward(record.withValue(new Friction("opened", data)));
            }
        }
    }

    static final class Supplier implements FixedKeyProcessorSupplier<String, Touchpoint, Friction> {
        @Override
        public FixedKeyProcessor<String, Touchpoint, Friction> get() {
            return new Track();
        }

        @Override
        public Set<StoreBuilder<?>> stores() {
            return Set.of(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), json(Customer.class))
                    .withCachingEnabled());
        }
    }

    static <T> Serde<T> json(Class<T> type) {
        ObjectMapper mapper = new ObjectMapper();
        Serializer<T> serializer = (topic, value) -> {
            try {
                return value == null ? null : mapper.writeValueAsBytes(value);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
        Deserializer<T> deserializer = (topic, bytes) -> {
            try {
                return bytes == null ? null : mapper.readValue(bytes, type);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
        return Serdes.serdeFrom(serializer, deserializer);
    }

    static Topology topology(String run) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(run + "-touchpoints", Consumed.with(Serdes.String(), json(Touchpoint.class)))
            .processValues(new Supplier())
            .to(run + "-frictions", Produced.with(Serdes.String(), json(Friction.class)));
        return builder.build();
    }

    public static void main(String[] args) throws InterruptedException {
        Map<String, String> env = System.getenv();
        String run = env.get("BENCH_RUN");
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, run);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("BENCH_KAFKA"));
        config.put(StreamsConfig.STATE_DIR_CONFIG, env.get("BENCH_FOLDER"));
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, env.get("BENCH_THREADS"));
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // The defaults but for these: a cache that holds the customers that come again soon, room for their batches.
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L * 1024 * 1024);
        config.put("consumer.auto.offset.reset", "earliest");
        config.put("consumer.max.poll.records", 5000);
        config.put("producer.linger.ms", 5);
        config.put("producer.batch.size", 256 * 1024);
        KafkaStreams streams = new KafkaStreams(topology(run), config);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(10));
            ended.countDown();
        }));
        streams.start();
        ended.await();
    }
}
