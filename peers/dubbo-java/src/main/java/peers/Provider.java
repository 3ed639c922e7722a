package peers;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.rpc.RpcContext;

/**
 * Serves {@link Demo} (also as group {@code blue}, version {@code 2.0.0}) and {@link Unrouted} without a registry.
 * Arguments: a port of 127.0.0.1, 0 for a free one; the file in which {@link Counted} is counted, if it is to be served.
 * Prints {@code port dubbo N}, then {@code ready}; ends with its standard input, as Dubbo ends: with a read-only event to its
 * clients.
 */
public final class Provider {
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        if (port == 0) {
            try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                port = socket.getLocalPort();
            }
        }
        ApplicationConfig application = new ApplicationConfig("provider");
        application.setQosEnable(false);
        ProtocolConfig protocol = new ProtocolConfig("dubbo", port);
        protocol.setHost("127.0.0.1");
        protocol.setSerialization("hessian2");
        protocol.setParameters(Map.of("heartbeat", "1000", "prefer.serialization", "hessian2"));
        Exporter exporter = new Exporter(application, protocol);
        if (args.length > 1) {
            // first: the port is open once the first one is exported, and calls of others fail until they are, too
            exporter.export(Counted.class, new Counting(Path.of(args[1])), null, null);
        }
        exporter.export(Demo.class, new Handler(""), null, null);
        exporter.export(Demo.class, new Handler("blue "), "blue", "2.0.0");
        exporter.export(Unrouted.class, () -> "reached without a route", null, null);
        System.out.println("port dubbo " + port);
        System.out.println("ready");
        System.in.readAllBytes();
        System.exit(0);
    }

    private record Exporter(ApplicationConfig application, ProtocolConfig protocol) {
        <T> void export(Class<T> type, T handler, String group, String version) {
            ServiceConfig<T> service = new ServiceConfig<>();
            service.setApplication(application);
            service.setRegistry(new RegistryConfig(RegistryConfig.NO_AVAILABLE));
            service.setProtocol(protocol);
            service.setInterface(type);
            service.setRef(handler);
            service.setGroup(group);
            service.setVersion(version);
            service.export();
        }
    }

    private record Handler(String greeting, List<String> noted) implements Demo {
        Handler(String greeting) {
            this(greeting, new CopyOnWriteArrayList<>());
        }

        @Override
        public String hello(String name) {
            return greeting + "hello " + name;
        }

        @Override
        public Person older(Person person) {
            person.setAge(person.getAge() + 1);
            return person;
        }

        @Override
        public List<Person> people(int count) {
            List<Person> people = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                people.add(new Person("n" + i, -i, new ArrayList<>(Collections.nCopies(i, "t")), null));
            }
            return people;
        }

        @Override
        public Map<String, Object> map(Map<String, Object> values) {
            return values;
        }

        @Override
        public byte[] reversed(byte[] bytes) {
            byte[] reversed = new byte[bytes.length];
            for (int i = 0; i < bytes.length; i++) {
                reversed[i] = bytes[bytes.length - 1 - i];
            }
            return reversed;
        }

        @Override
        public double sum(int a, long b, double c, Boolean negate) {
            return (a + b + c) * (negate ? -1 : 1);
        }

        @Override
        public Object nothing() {
            return null;
        }

        @Override
        public void ping() {}

        @Override
        public String refuse(String reason) throws Refused {
            throw new Refused(reason, -7);
        }

        @Override
        public String crash() {
            throw new IllegalStateException("not declared");
        }

        @Override
        public String attachment(String key) {
            String value = RpcContext.getContext().getAttachment(key);
            RpcContext.getServerContext().setAttachment("answered", value);
            return value;
        }

        @Override
        public void note(String text) {
            noted.add(text);
        }

        @Override
        public List<String> notes(String prefix) {
            return new ArrayList<>(noted.stream().filter(text -> text.startsWith(prefix)).toList());
        }

        @Override
        public CompletableFuture<String> later(String text) {
            return CompletableFuture.supplyAsync(() -> "later " + text,
                    CompletableFuture.delayedExecutor(20, java.util.concurrent.TimeUnit.MILLISECONDS));
        }
    }
}
