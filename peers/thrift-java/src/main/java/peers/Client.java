package peers;

import com.google.gson.GsonBuilder;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;
import org.example.echo.Echo;
import org.example.echo.Failing;
import org.example.echo.Newer;
import org.example.echo.Person;
import org.example.echo.Refused;
import org.example.echo.Shout;

/**
 * Prints what a client sees: one JSON line {target, case, ok, detail} per case. Arguments:
 * {@code TARGET:TRANSPORT-PROTOCOL:PORT...}.
 */
public final class Client {
    private static final int LIMIT_MS = 5000;

    private record Seen(boolean ok, Object detail) {
        static Seen equal(Object got, Object expected) {
            return new Seen(Objects.equals(got, expected), String.valueOf(got));
        }
    }

    private final String target;
    private final String wire;
    private final int port;
    private final Newer.Client echo;

    private Client(String target, String wire, int port) throws Exception {
        this.target = target;
        this.wire = wire;
        this.port = port;
        this.echo = new Newer.Client(protocol());
    }

    public static void main(String[] ways) throws Exception {
        var json = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
        for (String way : ways) {
            String[] parts = way.split(":");
            Client client = new Client(parts[0], parts[1], Integer.parseInt(parts[2]));
            client.cases().forEach((name, call) -> {
                Seen seen = client.run(call);
                Map<String, Object> line = new LinkedHashMap<>();
                line.put("target", client.target);
                line.put("case", client.wire + " " + name);
                line.put("ok", seen.ok);
                line.put("detail", seen.detail);
                System.out.println(json.toJson(line));
            });
        }
        System.exit(0);
    }

    private Map<String, Callable<Seen>> cases() {
        Map<String, Callable<Seen>> cases = new LinkedHashMap<>();
        String text = "h\u00e9llo \u4e16\u754c \ud83d\ude00";
        List<Boolean> flags = List.of(true, false, false, true);
        cases.put("string", () -> Seen.equal(echo.echo(text), text));
        cases.put("long", () -> new Seen(echo.echo("x".repeat(300_000)).length() == 300_000, null));
        cases.put("struct", () -> Seen.equal(echo.person(person(41)), person(42)));
        cases.put("list", () -> Seen.equal(echo.people(20).size(), 20));
        cases.put("bools", () -> Seen.equal(echo.flags(flags), flags));
        cases.put("binary", () -> Seen.equal(echo.blob(ByteBuffer.wrap(new byte[] {1, -2, 3})),
                ByteBuffer.wrap(new byte[] {3, -2, 1})));
        cases.put("double", () -> Seen.equal(echo.half(-0.5), -0.25));
        cases.put("void", this::nothing);
        cases.put("exception", this::exception);
        cases.put("server error", () -> refused(echo::crash, TApplicationException.INTERNAL_ERROR));
        cases.put("unknown method", () -> refused(echo::absent, TApplicationException.UNKNOWN_METHOD));
        cases.put("oneway", this::oneway);
        cases.put("concurrent", this::concurrent);
        cases.put("multiplexed", this::multiplexed);
        cases.put("no route", this::unrouted);
        cases.put("local replies", this::localReplies);
        return cases;
    }

    private Seen run(Callable<Seen> call) {
        try {
            return call.call();
        } catch (Exception error) {
            return new Seen(false, error.toString());
        }
    }

    private Seen nothing() throws Exception {
        echo.nothing();
        return new Seen(true, null);
    }

    private Seen exception() throws Exception {
        try {
            return new Seen(false, echo.refuse("no"));
        } catch (Refused refused) {
            return new Seen(true, List.of(refused.getReason(), refused.getCode()));
        }
    }

    /** An application exception of the kind must come, and leave the connection usable. */
    private Seen refused(Callable<String> call, int kind) throws Exception {
        try {
            return new Seen(false, call.call());
        } catch (TApplicationException error) {
            boolean usable = echo.echo("still here").equals("still here");
            return new Seen(usable && error.getType() == kind, error.getType());
        }
    }

    private Seen oneway() throws Exception {
        String tag = "java " + wire + " " + target + " " + System.nanoTime();
        for (int i = 0; i < 3; i++) {
            echo.note(tag + " " + i);
        }
        long end = System.currentTimeMillis() + 3000;
        List<String> notes = echo.notes(tag);
        while (notes.size() < 3 && System.currentTimeMillis() < end) {
            Thread.sleep(20);
            notes = echo.notes(tag);
        }
        return Seen.equal(notes.size(), 3);
    }

    private Seen concurrent() throws Exception {
        var pool = Executors.newFixedThreadPool(8);
        List<Callable<Integer>> workers = new ArrayList<>();
        for (int worker = 0; worker < 8; worker++) {
            int number = worker;
            workers.add(() -> wrong(number));
        }
        int wrong = 0;
        for (var result : pool.invokeAll(workers)) {
            wrong += result.get();
        }
        pool.shutdown();
        return Seen.equal(wrong, 0);
    }

    private int wrong(int worker) throws Exception {
        TProtocol protocol = protocol();
        Echo.Client client = new Echo.Client(protocol);
        int wrong = 0;
        for (int i = 0; i < 25; i++) {
            String text = (worker + "-" + i).repeat(i % 7);
            wrong += client.echo(text).equals(text) ? 0 : 1;
        }
        protocol.getTransport().close();
        return wrong;
    }

    private Seen multiplexed() throws Exception {
        var shout = new Shout.Client(new TMultiplexedProtocol(protocol(), "Shout"));
        var again = new Echo.Client(new TMultiplexedProtocol(protocol(), "Echo"));
        return Seen.equal(List.of(shout.shout("abc"), again.echo("def")), Arrays.asList("ABC", "def"));
    }

    private Seen unrouted() throws Exception {
        if (target.equals("direct")) {
            return new Seen(true, echo.unrouted());
        }
        long began = System.currentTimeMillis();
        try {
            return new Seen(false, new Echo.Client(protocol()).unrouted());
        } catch (TApplicationException error) {
            boolean atOnce = System.currentTimeMillis() - began < 1000;
            boolean ok = error.getType() == TApplicationException.UNKNOWN_METHOD && error.getMessage() != null;
            return new Seen(ok && atOnce, Arrays.asList(error.getType(), error.getMessage()));
        }
    }

    /** Every reason that our proxy may have to answer itself is an application exception of the right type. */
    private Seen localReplies() throws Exception {
        if (!target.equals("ours")) {
            return new Seen(true, null);
        }
        Failing.Client failing = new Failing.Client(protocol());
        Map<String, Integer> seen = new LinkedHashMap<>();
        boolean ok = true;
        for (var method : Failing.Iface.class.getMethods()) {
            int expected = switch (method.getName()) {
                case "fail_route_not_found" -> TApplicationException.UNKNOWN_METHOD;
                case "fail_bad_request", "fail_bad_response" -> TApplicationException.PROTOCOL_ERROR;
                default -> TApplicationException.INTERNAL_ERROR;
            };
            try {
                method.invoke(failing);
                ok = false;
            } catch (InvocationTargetException error) {
                int got = error.getCause() instanceof TApplicationException seenError ? seenError.getType() : -1;
                seen.put(method.getName(), got);
                ok &= got == expected && error.getCause().getMessage() != null;
            }
        }
        return new Seen(ok && seen.size() == 14, seen);
    }

    private TProtocol protocol() throws Exception {
        String[] names = wire.split("-");
        TTransport transport = Wire.TRANSPORTS.get(names[0]).getTransport(new TSocket("127.0.0.1", port, LIMIT_MS));
        transport.open();
        return Wire.PROTOCOLS.get(names[1]).getProtocol(transport);
    }

    private static Person person(int age) {
        return new Person("Ann", age, List.of("a", ""), Collections.singletonMap("x", -1L));
    }
}
