package peers;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.RpcException;
import org.apache.dubbo.rpc.service.EchoService;

/** What a consumer does, and what it must see, through one target. */
final class Cases {
    private final String target;
    private final References references;
    private final Demo demo;

    /** What a case saw, and whether that is right. */
    record Seen(boolean ok, Object detail) {
        static Seen equal(Object got, Object expected) {
            return new Seen(Objects.deepEquals(got, expected), String.valueOf(got));
        }
    }

    Cases(String target, References references) {
        this.target = target;
        this.references = references;
        this.demo = references.demo();
    }

    Map<String, Callable<Seen>> all() {
        Map<String, Callable<Seen>> cases = new LinkedHashMap<>();
        cases.put("string", () -> Seen.equal(demo.hello("h\u00e9 \u4e16 \ud83d\ude00"), "hello h\u00e9 \u4e16 \ud83d\ude00"));
        cases.put("long string", () -> new Seen(demo.hello("x".repeat(300_000)).length() == 300_006, null));
        cases.put("pojo", () -> Seen.equal(demo.older(ann(41)), ann(42)));
        cases.put("list", () -> Seen.equal(demo.people(20).get(19).getTags().size(), 19));
        cases.put("map", this::map);
        cases.put("bytes", () -> Seen.equal(demo.reversed(new byte[] {1, -2, 3})[0], (byte) 3));
        cases.put("primitives", () -> Seen.equal(demo.sum(1, 1L << 40, 0.5, true), -(1 + (double) (1L << 40) + 0.5)));
        cases.put("null", () -> Seen.equal(demo.nothing(), null));
        cases.put("void", this::ping);
        cases.put("exception", this::exception);
        cases.put("server error", this::crash);
        cases.put("attachments", this::attachments);
        cases.put("oneway", this::oneway);
        cases.put("async", this::async);
        cases.put("generic", this::generic);
        cases.put("generic exception", this::genericException);
        cases.put("echo", () -> Seen.equal(((EchoService) demo).$echo("same"), "same"));
        cases.put("group and version", () -> Seen.equal(references.blue().hello("you"), "blue hello you"));
        cases.put("concurrent", this::concurrent);
        cases.put("no route", this::unrouted);
        cases.put("local replies", this::localReplies);
        return cases;
    }

    Demo demo() {
        return demo;
    }

    /** A call that must fail by an RPC exception well before its own timeout. */
    static Seen failsAtOnce(Callable<?> call) throws Exception {
        long began = System.currentTimeMillis();
        try {
            return new Seen(false, "returned " + call.call());
        } catch (RpcException error) {
            boolean atOnce = System.currentTimeMillis() - began < 1500;
            String text = String.valueOf(error.getMessage());
            return new Seen(atOnce && !error.isTimeout(), error.getCode() + " " + text.lines().findFirst().orElse(""));
        }
    }

    private Seen map() {
        Map<String, Object> values = new HashMap<>();
        values.put("int", 7);
        values.put("text", "seven");
        values.put("list", new ArrayList<>(List.of(1L, "two", 3.5)));
        values.put("person", ann(1));
        values.put("null", null);
        return new Seen(demo.map(values).equals(values), null);
    }

    private Seen ping() {
        demo.ping();
        return new Seen(true, null);
    }

    private Seen exception() {
        try {
            return new Seen(false, demo.refuse("no"));
        } catch (Refused refused) {
            return new Seen(refused.getStackTrace().length > 0, Arrays.asList(refused.getMessage(), refused.getCode()));
        }
    }

    private Seen crash() {
        try {
            return new Seen(false, demo.crash());
        } catch (RuntimeException error) {
            return new Seen(error.getMessage().contains("not declared"), error.getClass().getName());
        }
    }

    private Seen attachments() {
        RpcContext.getContext().setAttachment("lane", "gr\u00fcn");
        String got = demo.attachment("lane");
        String answered = RpcContext.getServerContext().getAttachment("answered");
        // a consumer of 2.7 does not show the attachments of an answer
        return new Seen("gr\u00fcn".equals(got), Arrays.asList(got, answered));
    }

    private Seen oneway() throws Exception {
        Demo oneway = references.oneway();
        String tag = target + " " + System.nanoTime();
        for (int i = 0; i < 3; i++) {
            oneway.note(tag + " " + i);
        }
        long end = System.currentTimeMillis() + 3000;
        while (demo.notes(tag).size() < 3 && System.currentTimeMillis() < end) {
            Thread.sleep(20);
        }
        return Seen.equal(demo.notes(tag).size(), 3);
    }

    private Seen async() {
        List<CompletableFuture<String>> pending = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            pending.add(demo.later("" + i));
        }
        for (int i = 0; i < 20; i++) {
            String got = pending.get(i).join();
            if (!got.equals("later " + i)) {
                return new Seen(false, got + " for " + i);
            }
        }
        return new Seen(true, null);
    }

    private Seen generic() {
        Map<String, Object> person = new HashMap<>(Map.of("name", "Ann", "age", 41));
        Object older = references.generic().$invoke("older", new String[] {Person.class.getName()}, new Object[] {person});
        return Seen.equal(((Map<?, ?>) older).get("age"), 42);
    }

    private Seen genericException() {
        try {
            return new Seen(false, references.generic().$invoke("refuse", new String[] {"java.lang.String"}, new Object[] {"no"}));
        } catch (RuntimeException error) {
            return new Seen(error.getMessage().contains("no"), error.getClass().getName());
        }
    }

    private Seen concurrent() throws Exception {
        var pool = Executors.newFixedThreadPool(8);
        List<Callable<Integer>> workers = new ArrayList<>();
        for (int worker = 0; worker < 8; worker++) {
            String name = worker + "-";
            workers.add(() -> {
                int wrong = 0;
                for (int i = 0; i < 50; i++) {
                    String text = (name + i).repeat(i % 7);
                    wrong += demo.hello(text).equals("hello " + text) ? 0 : 1;
                }
                return wrong;
            });
        }
        int wrong = 0;
        for (var result : pool.invokeAll(workers)) {
            wrong += result.get();
        }
        pool.shutdown();
        return Seen.equal(wrong, 0);
    }

    private Seen unrouted() throws Exception {
        Unrouted unrouted = references.unrouted();
        if (target.equals("direct")) {
            return Seen.equal(unrouted.reached(), "reached without a route");
        }
        return failsAtOnce(unrouted::reached);
    }

    /** Every reason that our proxy may have to answer itself is the right exception, with a text that says so. */
    private Seen localReplies() {
        if (!target.equals("ours")) {
            return new Seen(true, null);
        }
        Map<String, String> seen = new LinkedHashMap<>();
        boolean ok = true;
        for (String reason : REASONS) {
            RpcContext.getContext().setAttachment("fail", reason);
            try {
                demo.hello("you");
                ok = false;
            } catch (RpcException error) {
                String text = String.valueOf(error.getMessage());
                seen.put(reason, error.getCode() + (text.contains(FAILED) ? "" : " " + text));
                boolean late = reason.equals("timeout");
                int code = late ? RpcException.TIMEOUT_EXCEPTION : RpcException.NETWORK_EXCEPTION;
                ok &= error.getCode() == code && text.contains(FAILED);
            } finally {
                // a consumer of 2.7 keeps the attachments of a call that fails
                RpcContext.getContext().clearAttachments();
            }
        }
        return new Seen(ok && demo.hello("you").equals("hello you"), seen);
    }

    private static final List<String> REASONS = List.of(
            "route_not_found", "cluster_not_found", "no_healthy_upstream", "connect_failure", "upstream_closed", "overflow",
            "timeout", "over_limit", "denied", "fault", "shed", "bad_request", "bad_response", "unspecified");
    private static final String FAILED = "the proxy was told to fail this request";

    private static Person ann(int age) {
        return new Person("Ann", age, new ArrayList<>(List.of("a", "")), new Person("Bo", -1, null, null));
    }
}
