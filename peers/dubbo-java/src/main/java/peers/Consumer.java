package peers;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import org.apache.dubbo.config.ApplicationConfig;
import peers.Cases.Seen;

/**
 * Prints what a consumer sees: one JSON line {target, case, ok, detail} per case. Arguments: {@code TARGET:PORT...}. For the
 * restart of the provider it prints {@code stop} and {@code start} and waits each time for a line that it was done.
 */
public final class Consumer {
    private static final Gson JSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));
    private static final String ESTABLISHED = "01";
    private static final long BACK_LIMIT_MS = 10_000;

    public static void main(String[] ways) throws Exception {
        ApplicationConfig application = new ApplicationConfig("consumer");
        application.setQosEnable(false);
        Map<String, Integer> ports = new LinkedHashMap<>();
        Map<String, Cases> targets = new LinkedHashMap<>();
        for (String way : ways) {
            String[] parts = way.split(":");
            ports.put(parts[0], Integer.parseInt(parts[1]));
            targets.put(parts[0], new Cases(parts[0], new References(application, ports.get(parts[0]))));
        }
        targets.forEach((target, cases) -> cases.all().forEach((name, call) -> report(target, name, call)));
        idle(targets, ports);
        restart(targets);
        System.exit(0);
    }

    /** Stays idle for longer than either side bears without a heartbeat: the connection must be the same afterwards. */
    private static void idle(Map<String, Cases> targets, Map<String, Integer> ports) throws Exception {
        Map<String, Set<String>> before = new LinkedHashMap<>();
        for (String target : targets.keySet()) {
            before.put(target, connections(ports.get(target)));
        }
        Thread.sleep(4500);
        targets.forEach((target, cases) -> report(target, "heartbeats", () -> {
            Set<String> now = connections(ports.get(target));
            boolean same = now.equals(before.get(target)) && !now.isEmpty();
            return new Seen(cases.demo().hello("again").equals("hello again") && same, same);
        }));
    }

    private static void restart(Map<String, Cases> targets) throws Exception {
        ask("stop");
        targets.forEach((target, cases) ->
                report(target, "provider gone", () -> Cases.failsAtOnce(() -> cases.demo().hello("nobody"))));
        ask("start");
        targets.forEach((target, cases) -> report(target, "provider back", () -> back(cases.demo())));
    }

    private static Seen back(Demo demo) throws Exception {
        long end = System.currentTimeMillis() + BACK_LIMIT_MS;
        while (true) {
            try {
                return Seen.equal(demo.hello("again"), "hello again");
            } catch (RuntimeException error) {
                if (System.currentTimeMillis() > end) {
                    throw error;
                }
                Thread.sleep(100);
            }
        }
    }

    private static void ask(String what) throws IOException {
        System.out.println(what);
        INPUT.readLine();
    }

    private static void report(String target, String name, Callable<Seen> call) {
        Seen seen;
        try {
            seen = call.call();
        } catch (Exception error) {
            seen = new Seen(false, String.valueOf(error).lines().findFirst().orElse(""));
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("target", target);
        line.put("case", name);
        line.put("ok", seen.ok());
        line.put("detail", seen.detail());
        System.out.println(JSON.toJson(line));
    }

    /** The local addresses of this process's established connections to {@code port}. */
    private static Set<String> connections(int port) throws IOException {
        String remote = String.format(":%04X", port);
        Set<String> sockets = sockets();
        Set<String> found = new TreeSet<>();
        for (String table : List.of("/proc/self/net/tcp", "/proc/self/net/tcp6")) {
            for (String line : Files.readAllLines(Path.of(table))) {
                String[] field = line.trim().split("\\s+");
                if (field[2].endsWith(remote) && field[3].equals(ESTABLISHED) && sockets.contains(field[9])) {
                    found.add(field[1]);
                }
            }
        }
        return found;
    }

    /** The inodes of this process's sockets: the tables list those of other processes as well. */
    private static Set<String> sockets() throws IOException {
        Set<String> inodes = new HashSet<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path file : files) {
                if (Files.isSymbolicLink(file)) {
                    inodes.add(Files.readSymbolicLink(file).toString().replaceAll("\\D", ""));
                }
            }
        }
        return inodes;
    }
}
