package peers;

import java.io.Serializable;
import java.util.List;
import java.util.Objects;

/** An object with an object inside. */
public class Person implements Serializable {
    private static final long serialVersionUID = 1;

    private String name;
    private int age;
    private List<String> tags;
    private Person friend;

    public Person() {}

    public Person(String name, int age, List<String> tags, Person friend) {
        this.name = name;
        this.age = age;
        this.tags = tags;
        this.friend = friend;
    }

    public String getName() {
        return name;
    }

    public void setName(String name) {
        this.name = name;
    }

    public int getAge() {
        return age;
    }

    public void setAge(int age) {
        this.age = age;
    }

    public List<String> getTags() {
        return tags;
    }

    public void setTags(List<String> tags) {
        this.tags = tags;
    }

    public Person getFriend() {
        return friend;
    }

    public void setFriend(Person friend) {
        this.friend = friend;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Person person
                && age == person.age
                && Objects.equals(name, person.name)
                && Objects.equals(tags, person.tags)
                && Objects.equals(friend, person.friend);
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, age, tags, friend);
    }

    @Override
    public String toString() {
        return name + "/" + age + "/" + tags + "/" + friend;
    }
}
