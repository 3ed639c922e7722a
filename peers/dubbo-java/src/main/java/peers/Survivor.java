package peers;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.UnaryOperator;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.rpc.RpcException;

/**
 * Calls {@link Counted} from several threads until its standard input brings a line. Argument: a port of 127.0.0.1. Prints
 * {@code ok ID} or {@code failed ID} for every call; ids begin with the name of the method.
 */
public final class Survivor {
    private static final int THREADS = 4;

    public static void main(String[] args) throws Exception {
        ApplicationConfig application = new ApplicationConfig("survivor");
        application.setQosEnable(false);
        Counted counted = new References(application, Integer.parseInt(args[0])).counted();
        AtomicBoolean ends = new AtomicBoolean();
        List<Thread> threads = new ArrayList<>();
        for (int thread = 0; thread < THREADS; thread++) {
            int number = thread;
            threads.add(new Thread(() -> {
                for (int call = 0; !ends.get(); call++) {
                    call(counted::again, "again-" + number + "-" + call);
                    call(counted::once, "once-" + number + "-" + call);
                }
            }));
        }
        threads.forEach(Thread::start);
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        ends.set(true);
        for (Thread thread : threads) {
            thread.join();
        }
        System.exit(0);
    }

    private static void call(UnaryOperator<String> method, String id) {
        String said;
        try {
            said = method.apply(id).equals(id) ? "ok" : "failed";
        } catch (RpcException error) {
            said = "failed";
        }
        System.out.println(said + " " + id);
    }
}
