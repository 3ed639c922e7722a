package peers;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Writes every call to a file before it takes its time: what was executed is known although the process is killed. */
final class Counting implements Counted {
    private static final long TAKES_MS = 10;

    private final FileChannel file;

    Counting(Path path) throws IOException {
        file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    @Override
    public String again(String id) {
        return executed(id);
    }

    @Override
    public String once(String id) {
        return executed(id);
    }

    private String executed(String id) {
        try {
            file.write(ByteBuffer.wrap((id + "\n").getBytes(StandardCharsets.UTF_8)));
            Thread.sleep(TAKES_MS);
        } catch (IOException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
        return id;
    }
}
