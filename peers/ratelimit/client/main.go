// Asks rate limit services the questions of a file, one after the other, and shows their whole answers.
//
// usage: client QUESTIONS TARGET:PORT...
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	rls "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
)

type question struct {
	Case    string          `json:"case"`
	Answer  string          `json:"answer"`
	Request json.RawMessage `json:"request"`
}

type seen struct {
	Target string `json:"target"`
	Case   string `json:"case"`
	Ok     bool   `json:"ok"`
	Detail any    `json:"detail"`
}

func main() {
	questions, err := read(os.Args[1])
	check(err)
	output := json.NewEncoder(os.Stdout)
	for _, way := range os.Args[2:] {
		target, port, _ := strings.Cut(way, ":")
		connection, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
		check(err)
		service := rls.NewRateLimitServiceClient(connection)
		for _, question := range questions {
			ok, detail, err := ask(service, question)
			check(err)
			check(output.Encode(seen{target, question.Case, ok, detail}))
		}
	}
}

func read(file string) (questions []question, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &questions)
	}
	return questions, err
}

// Tells whether the answer is as promised, and what it is; errors are all the same, since every service has its own.
func ask(service rls.RateLimitServiceClient, question question) (bool, any, error) {
	request := new(rls.RateLimitRequest)
	if err := protojson.Unmarshal(question.Request, request); err != nil {
		return false, nil, fmt.Errorf("%s: %w", question.Case, err)
	}
	limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	response, err := service.ShouldRateLimit(limit, request)
	if err != nil {
		log.Printf("%s: %v", question.Case, err)
		return question.Answer == "ERROR", "ERROR", nil
	}
	inTime := takeResets(response)
	text, err := protojson.Marshal(response)
	return inTime && response.OverallCode.String() == question.Answer, json.RawMessage(text), err
}

// Removes the times until a window ends, which go on between two questions; tells whether all lay within their windows.
func takeResets(response *rls.RateLimitResponse) bool {
	ok := true
	for _, status := range response.Statuses {
		if limit := status.CurrentLimit; limit != nil {
			left := status.DurationUntilReset.AsDuration()
			ok = ok && left > 0 && left <= units[limit.Unit]
		}
		status.DurationUntilReset = nil
	}
	return ok
}

const day = 24 * time.Hour

var units = map[rls.RateLimitResponse_RateLimit_Unit]time.Duration{
	rls.RateLimitResponse_RateLimit_SECOND: time.Second,
	rls.RateLimitResponse_RateLimit_MINUTE: time.Minute,
	rls.RateLimitResponse_RateLimit_HOUR:   time.Hour,
	rls.RateLimitResponse_RateLimit_DAY:    day,
	rls.RateLimitResponse_RateLimit_WEEK:   7 * day,
	rls.RateLimitResponse_RateLimit_MONTH:  30 * day,
	rls.RateLimitResponse_RateLimit_YEAR:   365 * day,
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
