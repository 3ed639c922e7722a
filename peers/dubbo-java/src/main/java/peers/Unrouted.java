package peers;

/** Served, but the proxies have no route for it. */
public interface Unrouted {
    String reached();
}
