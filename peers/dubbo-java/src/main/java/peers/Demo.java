package peers;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** What every Dubbo provider serves: results of each kind. */
public interface Demo {
    String hello(String name);

    Person older(Person person);

    List<Person> people(int count);

    Map<String, Object> map(Map<String, Object> values);

    byte[] reversed(byte[] bytes);

    double sum(int a, long b, double c, Boolean negate);

    Object nothing();

    void ping();

    String refuse(String reason) throws Refused;

    /** Fails with an exception that it does not declare. */
    String crash();

    /** Returns the attachment of the call and puts it on the answer as {@code answered}. */
    String attachment(String key);

    void note(String text);

    List<String> notes(String prefix);

    CompletableFuture<String> later(String text);
}
