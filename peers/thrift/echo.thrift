// What every Thrift peer serves and calls. Code is generated from it when a suite runs, never committed.
namespace java org.example.echo

struct Person {
  1: string name
  2: i32 age
  3: list<string> tags
  4: map<string, i64> scores
}

exception Refused {
  1: string reason
  2: i32 code
}

service Echo {
  string echo(1: string text)
  Person person(1: Person person)
  list<Person> people(1: i32 count)
  list<bool> flags(1: list<bool> values)
  binary blob(1: binary bytes)
  double half(1: double value)
  void nothing()
  string refuse(1: string reason) throws (1: Refused refused)
  // fails with an exception that it does not declare
  string crash()
  oneway void note(1: string text)
  list<string> notes(1: string prefix)
  // served, but the proxies have no route for it
  string unrouted()
}

// Its own method is routed, but no server knows it.
service Newer extends Echo {
  string absent()
}

// No server has it: our proxy fails each method for the reason in its name.
service Failing {
  string fail_route_not_found()
  string fail_cluster_not_found()
  string fail_no_healthy_upstream()
  string fail_connect_failure()
  string fail_upstream_closed()
  string fail_overflow()
  string fail_timeout()
  string fail_over_limit()
  string fail_denied()
  string fail_fault()
  string fail_shed()
  string fail_bad_request()
  string fail_bad_response()
  string fail_unspecified()
}

// The service of upstream's samples.
service Greeter {
  string sayHello(1: string name)
}

// The second service of a multiplexed server.
service Shout {
  string shout(1: string text)
}
