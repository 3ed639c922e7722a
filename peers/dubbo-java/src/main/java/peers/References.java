package peers;

import java.util.List;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.rpc.service.GenericService;

/** The ways in which a consumer refers to the services behind one port of 127.0.0.1. */
record References(ApplicationConfig application, int port) {
    private static final int LIMIT_MS = 5000;

    /** 127.0.0.1 in a form that Dubbo does not recognise: it would connect to the machine's own address instead. */
    private static final String LOOPBACK = "2130706433";

    Demo demo() {
        return reference(Demo.class).get();
    }

    Demo blue() {
        ReferenceConfig<Demo> reference = reference(Demo.class);
        reference.setGroup("blue");
        reference.setVersion("2.0.0");
        return reference.get();
    }

    /** {@link Demo#note} is sent without waiting for an answer. */
    Demo oneway() {
        MethodConfig method = new MethodConfig();
        method.setName("note");
        method.setReturn(false);
        method.setSent(true);
        ReferenceConfig<Demo> reference = reference(Demo.class);
        reference.setMethods(List.of(method));
        return reference.get();
    }

    GenericService generic() {
        ReferenceConfig<GenericService> reference = reference(GenericService.class);
        reference.setInterface(Demo.class.getName());
        reference.setGeneric("true");
        return reference.get();
    }

    /** Waits as long as it takes to start a provider anew. */
    Counted counted() {
        ReferenceConfig<Counted> reference = reference(Counted.class);
        reference.setTimeout(12 * LIMIT_MS);
        return reference.get();
    }

    Unrouted unrouted() {
        return reference(Unrouted.class).get();
    }

    private <T> ReferenceConfig<T> reference(Class<T> type) {
        ReferenceConfig<T> reference = new ReferenceConfig<>();
        reference.setApplication(application);
        reference.setInterface(type);
        reference.setUrl("dubbo://" + LOOPBACK + ":" + port + "?serialization=hessian2&prefer.serialization=hessian2");
        reference.setParameters(Map.of("heartbeat", "1000"));
        reference.setTimeout(LIMIT_MS);
        reference.setRetries(0);
        reference.setCheck(false);
        return reference;
    }
}
