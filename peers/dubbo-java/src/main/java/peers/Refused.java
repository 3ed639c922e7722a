package peers;

/** The exception that {@link Demo#refuse} declares. */
public class Refused extends Exception {
    private static final long serialVersionUID = 1;

    private final int code;

    public Refused(String reason, int code) {
        super(reason);
        this.code = code;
    }

    public int getCode() {
        return code;
    }
}
