package peers;

/** Calls that are counted where they are executed. */
public interface Counted {
    /** May be executed again. */
    String again(String id);

    /** Must not be executed twice. */
    String once(String id);
}
