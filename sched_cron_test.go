package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func cronZone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func cronMake(t testing.TB, expr, id string) *cronExpr {
	t.Helper()
	c, err := cronParse(expr, id)
	if err != nil {
		t.Fatalf("cronParse(%q): %v", expr, err)
	}
	return c
}

// cronTake returns the next n fires after a local time, which is given with its offset.
func cronTake(t testing.TB, c *cronExpr, zone, after string, n int) []string {
	t.Helper()
	loc := cronZone(t, zone)
	at, err := time.Parse("2006-01-02T15:04:05.999Z07:00", after)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range n {
		next, ok := c.next(at, loc)
		if !ok {
			return append(got, "never")
		}
		if !next.After(at) || next.Location() != loc {
			t.Fatalf("%s: next after %v is %v", c, at, next)
		}
		got, at = append(got, next.Format(time.RFC3339)), next
	}
	return got
}

// TestCronDialect takes every feature of the language on days without a change of the clock. The fires are
// written without seconds where those are 00, and in UTC.
func TestCronDialect(t *testing.T) {
	const start = "2025-01-20T12:30:00Z" // a Monday
	tests := []struct{ expr, after, want string }{
		{"* * * * *", start, "01-20 12:31, 01-20 12:32"},
		{"* * * * *", "2025-01-20T12:30:00.5Z", "01-20 12:31"},
		{"* * * * *", "2025-01-20T12:29:59.999Z", "01-20 12:30"},
		{"30 12 * * *", start, "01-21 12:30"},
		{"*/15 * * * *", start, "01-20 12:45, 01-20 13:00"},
		{"5/20 * * * *", start, "01-20 12:45, 01-20 13:05, 01-20 13:25"},
		{"0-10/5,59 3 * * *", start, "01-21 03:00, 01-21 03:05, 01-21 03:10, 01-21 03:59, 01-22 03:00"},
		{"*/90 * * * *", start, "01-20 13:00, 01-20 14:00"},
		{"0 22-2/2 * * *", start, "01-20 22:00, 01-21 00:00, 01-21 02:00, 01-21 22:00"},
		{"50-10/10 3 * * *", start, "01-21 03:00, 01-21 03:10, 01-21 03:50"},
		{"0 0 * * 0", start, "01-26 00:00, 02-02 00:00"},
		{"0 0 * * 7", start, "01-26 00:00, 02-02 00:00"},
		{"0 0 * * 7-7", start, "01-26 00:00, 02-02 00:00"},
		{"0 0 * * 6-7", start, "01-25 00:00, 01-26 00:00, 02-01 00:00"},
		{"0 0 * * 7-1", start, "01-26 00:00, 01-27 00:00, 02-02 00:00"},
		{"0 0 * * sun,tUESday", start, "01-21 00:00, 01-26 00:00, 01-28 00:00"},
		{"0 0 * * fri-mon", start, "01-24 00:00, 01-25 00:00, 01-26 00:00, 01-27 00:00, 01-31 00:00"},
		{"0 0 * * Mon-Fri/2", start, "01-22 00:00, 01-24 00:00, 01-27 00:00"},
		{"0 0 * * 1/2", start, "01-22 00:00, 01-24 00:00, 01-27 00:00"},
		{"0 0 1 nov-feb *", start, "02-01 00:00, 11-01 00:00, 12-01 00:00, 2026-01-01 00:00"},
		{"0 0 1 September,JUNE *", start, "06-01 00:00, 09-01 00:00"},
		{"0 0 13 * ?", start, "02-13 00:00"},
		{"0 0 ? * wed", start, "01-22 00:00"},
		{"0 0 13 * fri", start, "01-24 00:00, 01-31 00:00, 02-07 00:00, 02-13 00:00"},
		{"0 0 */2 * mon", start, "01-27 00:00, 02-03 00:00, 02-17 00:00"},
		{"0 0 13 * */5", start, "04-13 00:00, 06-13 00:00, 07-13 00:00"},
		{"0 0 L * *", start, "01-31 00:00, 02-28 00:00, 03-31 00:00"},
		{"0 0 l-3,1 * *", start, "01-28 00:00, 02-01 00:00, 02-25 00:00"},
		{"0 0 LW * *", "2025-04-30T00:00:00Z", "05-30 00:00, 06-30 00:00, 07-31 00:00, 08-29 00:00"},
		{"0 0 L-1W * *", "2025-05-01T00:00:00Z", "05-30 00:00, 06-30 00:00"},
		{"0 0 15W * *", start, "02-14 00:00, 03-14 00:00, 04-15 00:00, 05-15 00:00, 06-16 00:00"},
		{"0 0 1w * *", start, "02-03 00:00, 03-03 00:00, 04-01 00:00"},
		{"0 0 31W * *", start, "01-31 00:00, 03-31 00:00, 05-30 00:00"},
		{"0 0 * * 5L", start, "01-31 00:00, 02-28 00:00, 03-28 00:00"},
		{"0 0 * * friL,7L", start, "01-26 00:00, 01-31 00:00, 02-23 00:00"},
		{"0 0 * * 1#2", start, "02-10 00:00, 03-10 00:00"},
		{"0 0 * * mon#5", start, "03-31 00:00, 06-30 00:00"},
		{"0 0 * * sun#1", start, "02-02 00:00, 03-02 00:00"},
		{"0 0 29 2 ?", start, "2028-02-29 00:00, 2032-02-29 00:00"},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29 00:00"},
		{"0 0 29 feb */7", start, "2032-02-29 00:00, 2060-02-29 00:00"}, // a Sunday
		{"0 0 31 2-4 *", start, "03-31 00:00, 2026-03-31 00:00"},
		{"15 30 2 * * *", start, "01-21 02:30:15"},
		{"*/40 * * * * *", start, "01-20 12:30:40, 01-20 12:31, 01-20 12:31:40"},
		{"0 0 0 1 1 * 2027-2030/3", start, "2027-01-01 00:00, 2030-01-01 00:00, never"},
		{"0 0 0 1 1 * */50", start, "2070-01-01 00:00, never"}, // from 1970: 2020, 2070
		{"0 0 0 1 1 * 2024", start, "never"},
		{"0 0 30 2 *", start, "never"},
		{"0 0 31 2,4,6,9,11 *", start, "never"},
		{"0 0 L-30 2 *", start, "never"},
		{"@yearly", start, "2026-01-01 00:00"},
		{"@annually", start, "2026-01-01 00:00"},
		{"@monthly", start, "02-01 00:00"},
		{"@weekly", start, "01-26 00:00"},
		{"@daily", start, "01-21 00:00"},
		{" @Midnight\t", start, "01-21 00:00"},
		{"@hourly", start, "01-20 13:00"},
		{"@reboot", start, "never"},
		{"@start", start, "never"},
		{"@every 90s", start, "01-20 12:31:30, 01-20 12:33"},
		{"@every  1d", start, "01-21 00:00, 01-22 00:00"},
		{"@every 1d12h", start, "01-21 00:00, 01-22 12:00"},
		{"@every 7s", "1969-12-31T23:59:50Z", "1969-12-31 23:59:53, 1970-01-01 00:00"},
		{"******", start, "01-20 12:30:01, 01-20 12:30:02"},
		{"0*/5****", start, "01-20 12:35, 01-20 12:40"},
		{"0 0 9 * * MON , WED", start, "01-22 09:00, 01-27 09:00"},
		{"\t0  9 * *\tmon, wed ", start, "01-22 09:00, 01-27 09:00"},
	}
	for _, test := range tests {
		want := strings.Split(test.want, ", ")
		got := cronTake(t, cronMake(t, test.expr, "id"), "UTC", test.after, len(want))
		for i, g := range got {
			g = strings.TrimSuffix(strings.Replace(g, "T", " ", 1), "Z")
			got[i] = strings.TrimPrefix(strings.TrimSuffix(g, ":00"), "2025-")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q after %s:\n got %q\nwant %q", test.expr, test.after, got, want)
		}
	}
}

// TestCronZones holds the rules of daylight saving, each row a zone's change.
func TestCronZones(t *testing.T) {
	tests := []struct {
		zone, after string
		expr        string
		want        string
	}{
		// London: 01:00-02:00 skipped on 30 March 2025, repeated on 26 October.
		{"Europe/London", "2025-03-29T12:00:00Z", "30 1 * * *", "2025-03-30T02:00:00+01:00 2025-03-31T01:30:00+01:00"},
		{"Europe/London", "2025-03-29T12:00:00Z", "0,20,40 1 * * *",
			"2025-03-30T02:00:00+01:00 2025-03-31T01:00:00+01:00"},
		{"Europe/London", "2025-03-29T12:00:00Z", "0 1,2 * * *", "2025-03-30T02:00:00+01:00 2025-03-31T01:00:00+01:00"},
		{"Europe/London", "2025-03-29T12:00:00Z", "59 0-2 * * *",
			"2025-03-30T00:59:00Z 2025-03-30T02:00:00+01:00 2025-03-30T02:59:00+01:00"},
		{"Europe/London", "2025-03-30T00:50:00Z", "*/30 * * * *",
			"2025-03-30T02:00:00+01:00 2025-03-30T02:30:00+01:00"},
		{"Europe/London", "2025-03-30T00:50:00Z", "15 * * * *", "2025-03-30T02:15:00+01:00 2025-03-30T03:15:00+01:00"},
		{"Europe/London", "2025-03-29T12:00:00Z", "* 1 * * *", "2025-03-31T01:00:00+01:00 2025-03-31T01:01:00+01:00"},
		{"Europe/London", "2025-10-25T23:00:00Z", "30 1 * * *", "2025-10-26T01:30:00+01:00 2025-10-27T01:30:00Z"},
		{"Europe/London", "2025-10-26T00:30:00Z", "30 1 * * *", "2025-10-27T01:30:00Z"},
		{"Europe/London", "2025-10-26T01:10:00Z", "30 1 * * *", "2025-10-27T01:30:00Z"},
		{"Europe/London", "2025-10-25T23:50:00Z", "30 * * * *",
			"2025-10-26T01:30:00+01:00 2025-10-26T01:30:00Z 2025-10-26T02:30:00Z"},
		{"Europe/London", "2025-10-26T00:00:00Z", "*/30 1 * * *",
			"2025-10-26T01:30:00+01:00 2025-10-26T01:00:00Z 2025-10-26T01:30:00Z 2025-10-27T01:00:00Z"},
		{"Europe/London", "2025-10-26T00:59:58Z", "59 59 1 * * *", "2025-10-26T01:59:59+01:00 2025-10-27T01:59:59Z"},
		{"Europe/London", "2025-10-26T00:00:00Z", "@every 45m",
			"2025-10-26T01:45:00+01:00 2025-10-26T01:30:00Z 2025-10-26T02:15:00Z"},
		// New York, seconds too.
		{"America/New_York", "2026-03-08T00:00:00-05:00", "30 2 * * *",
			"2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"},
		{"America/New_York", "2026-03-08T00:00:00-05:00", "*/20 59 2 * * *",
			"2026-03-08T03:00:00-04:00 2026-03-09T02:59:00-04:00"},
		{"America/New_York", "2026-03-08T00:00:00-05:00", "30 0 2-3 * * *",
			"2026-03-08T03:00:00-04:00 2026-03-08T03:00:30-04:00"},
		{"America/New_York", "2026-03-08T01:59:58-05:00", "* * * * * *",
			"2026-03-08T01:59:59-05:00 2026-03-08T03:00:00-04:00"},
		{"America/New_York", "2026-11-01T00:00:00-04:00", "30 1 * * *",
			"2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"},
		{"America/New_York", "2026-11-01T01:59:59-04:00", "*/30 0-23 * * *",
			"2026-11-01T01:00:00-05:00 2026-11-01T01:30:00-05:00"},
		{"America/New_York", "2026-11-01T01:30:00-04:00", "0,30 0-23 * * *", "2026-11-01T02:00:00-05:00"},
		// Lord Howe moves by half an hour at 02:00.
		{"Australia/Lord_Howe", "2025-10-05T00:00:00+10:30", "15 2 * * *",
			"2025-10-05T02:30:00+11:00 2025-10-06T02:15:00+11:00"},
		{"Australia/Lord_Howe", "2025-10-05T00:00:00+10:30", "30 2 * * *",
			"2025-10-05T02:30:00+11:00 2025-10-06T02:30:00+11:00"},
		{"Australia/Lord_Howe", "2025-10-05T00:00:00+10:30", "45 2 * * *", "2025-10-05T02:45:00+11:00"},
		{"Australia/Lord_Howe", "2025-10-05T01:40:00+10:30", "*/10 * * * *",
			"2025-10-05T01:50:00+10:30 2025-10-05T02:30:00+11:00"},
		{"Australia/Lord_Howe", "2025-04-06T01:00:00+11:00", "45 1 * * *",
			"2025-04-06T01:45:00+11:00 2025-04-07T01:45:00+10:30"},
		{"Australia/Lord_Howe", "2025-04-06T01:40:00+11:00", "*/15 * * * *",
			"2025-04-06T01:45:00+11:00 2025-04-06T01:30:00+10:30 2025-04-06T01:45:00+10:30 2025-04-06T02:00:00+10:30"},
		// Apia went from the end of 29 December 2011 to the 31st, Kwajalein from 20 to 22 August 1993.
		{"Pacific/Apia", "2011-12-28T12:00:00-10:00", "0 12 * * *",
			"2011-12-29T12:00:00-10:00 2011-12-31T12:00:00+14:00"},
		{"Pacific/Apia", "2011-12-28T12:00:00-10:00", "0 0 30 12 *", "2012-12-30T00:00:00+14:00"},
		{"Pacific/Apia", "2011-12-29T00:00:00-10:00", "@daily", "2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00"},
		{"Pacific/Apia", "2011-12-29T23:00:00-10:00", "30 * * * *",
			"2011-12-29T23:30:00-10:00 2011-12-31T00:30:00+14:00"},
		{"Pacific/Kwajalein", "1993-08-20T00:00:00-12:00", "0 6 * * *",
			"1993-08-20T06:00:00-12:00 1993-08-22T06:00:00+12:00"},
		// St. John's went back from 00:01 to 23:01 of the day before: that day is shown again after the next has begun.
		{"America/St_Johns", "2006-10-28T23:00:00-02:30", "59 * 28 * *",
			"2006-10-28T23:59:00-02:30 2006-10-28T23:59:00-03:30 2006-11-28T00:59:00-03:30"},
		{"America/St_Johns", "2006-10-28T23:00:00-02:30", "0 59 23 28 10 * 2006", "2006-10-28T23:59:00-02:30"},
		{"America/St_Johns", "2006-10-28T23:59:00-02:30", "0 59 * 28 10 * 2006", "2006-10-28T23:59:00-03:30"},
		// São Paulo skipped midnight.
		{"America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "@daily",
			"2018-11-04T01:00:00-02:00 2018-11-05T00:00:00-02:00"},
		{"America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "15 0 4 11 *",
			"2018-11-04T01:00:00-02:00 2019-11-04T00:15:00-03:00"},
		{"America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "@hourly", "2018-11-03T13:00:00-03:00"},
		{"America/Sao_Paulo", "2018-11-03T23:00:00-03:00", "@hourly",
			"2018-11-04T01:00:00-02:00 2018-11-04T02:00:00-02:00"},
		{"America/Sao_Paulo", "2018-02-17T12:00:00-02:00", "30 23 * * *",
			"2018-02-17T23:30:00-02:00 2018-02-18T23:30:00-03:00"},
		// Cairo 2024: midnight skipped on 26 April, 23:00-24:00 repeated on 31 October.
		{"Africa/Cairo", "2024-04-25T12:00:00+02:00", "0 0 * * 5",
			"2024-04-26T01:00:00+03:00 2024-05-03T00:00:00+03:00"},
		{"Africa/Cairo", "2024-10-31T12:00:00+03:00", "0 23 * * *",
			"2024-10-31T23:00:00+03:00 2024-11-01T23:00:00+02:00"},
		{"Africa/Cairo", "2024-10-31T23:30:00+03:00", "0 * * * *",
			"2024-10-31T23:00:00+02:00 2024-11-01T00:00:00+02:00"},
		// Tehran gave it up in 2022.
		{"Asia/Tehran", "2022-03-21T12:00:00+03:30", "30 0 * * *",
			"2022-03-22T01:00:00+04:30 2022-03-23T00:30:00+04:30"},
		{"Asia/Tehran", "2025-03-21T12:00:00+03:30", "30 0 * * *", "2025-03-22T00:30:00+03:30"},
		// Kathmandu has none.
		{"Asia/Kathmandu", "2025-03-30T00:00:00+05:45", "30 1 * * *",
			"2025-03-30T01:30:00+05:45 2025-03-31T01:30:00+05:45"},
	}
	for _, test := range tests {
		want := strings.Fields(test.want)
		got := cronTake(t, cronMake(t, test.expr, "id"), test.zone, test.after, len(want))
		if !slices.Equal(got, want) {
			t.Errorf("%q in %s after %s:\n got %q\nwant %q", test.expr, test.zone, test.after, got, want)
		}
	}
}

func TestCronErrors(t *testing.T) {
	tests := []struct{ expr, want string }{
		{"61 * * * *", `minute: 61 is out of range 0-59 in "61 * * * *"`},
		{"60 * * * *", `minute: 60 is out of range 0-59 (the last is 59, the first 0) in`},
		{"0 24 * * *", `hour: 24 is out of range 0-23 (midnight is 0) in "0 24 * * *"`},
		{"0 0 32 * *", "day: 32 is out of range 1-31"},
		{"0 0 0 * *", "day: 0 is out of range 1-31"},
		{"0 0 * 13 *", "month: 13 is out of range 1-12"},
		{"0 0 * * 8", "weekday: 8 is out of range 0-7"},
		{"0 0 * * 99999999999999999999", "weekday: 99999999999999999999 is out of range 0-7"},
		{"60 0 0 * * *", "second: 60 is out of range 0-59"},
		{"0 0 0 * * * 1969", "year: 1969 is out of range 1970-2100"},
		{"0 0 0 * * * 2030-2029", "year: no H, ~ or backward range in years"},
		{"0 0 0 * * * H", "year: no H, ~ or backward range in years"},
		{"0 0 * mon *", `month: "MON" is not a value; allowed: 1-12 or JAN-DEC (weekdays are the field after the month)`},
		{"0 0 * * jan", `weekday: "JAN" is not a value`},
		{"0 0 * * mo", `weekday: "MO" is not a value; allowed: 0-7 (0 and 7 are Sunday) or SUN-SAT`},
		{"0 0 * * mondays", `weekday: "MONDAYS" is not a value`},
		{"x * * * *", `minute: "X" is not a value; allowed: 0-59`},
		{"-5 * * * *", `minute: "" is not a value; allowed: 0-59`},
		{"1- * * * *", `minute: "" is not a value`},
		{"1-2-3 * * * *", `minute: "2-3" is not a value`},
		{"1,,2 * * * *", "minute: an item of the list is empty"},
		{"1, * * * *", "want 5 fields"},
		{"*/0 * * * *", `minute: step "0" is not a whole number of at least 1`},
		{"*/ * * * *", `minute: step "" is not`},
		{"*/2/3 * * * *", `minute: step "2/3" is not`},
		{"*-5 * * * *", `minute: "*" is not a value`},
		{"/5 * * * *", `minute: "" is not a value`},
		{"? * * * *", "minute: ? is for the day and weekday fields; write *"},
		{"0 0 L-31 * *", `day: "L-31" is not a day of the month; allowed: 1-31, L, L-n, LW, nW`},
		{"0 0 L3 * *", `day: "L3" is not a day`},
		{"0 0 32W * *", `day: "32W" is not a day`},
		{"0 0 0W * *", `day: "0W" is not a day`},
		{"0 0 W * *", `day: "W" is not a day`},
		{"0 0 -3W * *", `day: "-3W" is not a day`},
		{"0 0 1-5W * *", `day: "1-5W" is not a day`},
		{"0 L * * *", `hour: "L" is not a value`},
		{"0 0 * * L", "weekday: no day before L: 5L is the last Friday"},
		{"0 0 * * 8L", "weekday: 8 is out of range 0-7"},
		{"0 0 * * 1#6", `weekday: "1#6": the number after # is the week of the month, 1-5`},
		{"0 0 * * 1#", `weekday: "1#": the number after #`},
		{"0 0 * * 9#1", "weekday: 9 is out of range 0-7"},
		{"H(5) * * * *", `minute: "H(5)" is not a spread; write it as H(0-59)`},
		{"H(0-70) * * * *", "minute: 70 is out of range 0-59"},
		{"0 0 25~5 * *", "day: a random range cannot go round the end of the month"},
		{"0~70 * * * *", "minute: 70 is out of range 0-59"},
		{"", `want 5 fields (minute hour day month weekday), 6 with seconds first, or 7 with a year last; got 0 in ""`},
		{"* * * *", `got 4 in "* * * *"`},
		{"* * * * * * * *", "got 8 in"},
		{"*****", "got 1 in"},
		{"CRON_TZ=UTC 0 0 * * *", "give it in the workflow's timezone"},
		{"@dayly", `"@dayly" is not a schedule (did you mean @daily?); there are @yearly`},
		{"@", `"@" is not a schedule; there are`},
		{"@daily 5", `@daily takes nothing after it, not "5"`},
		{"@every", `@every: "" is no period; give a period such as 90s`},
		{"@every 5", `@every: "5" is no period`},
		{"@every -5s", `@every: "-5s" is no period`},
		{"@every 0s", `@every: "0s" is out of range 1s-36500d`},
		{"@every 500ms", `@every: "500ms" is not a whole number of seconds`},
		{"@every 36501d", `@every: "36501d" is out of range`},
		{"@every 1.5d", `@every: "1.5d" is no period`},
		{strings.Repeat("1,", 600) + "1 * * * *", "schedule is 1209 bytes long; at most 1000 are read"},
	}
	for _, test := range tests {
		c, err := cronParse(test.expr, "id")
		if err == nil {
			t.Errorf("cronParse(%q) = %+v, want error %q", test.expr, c, test.want)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("cronParse(%q):\n got %s\nwant %s", test.expr, err, test.want)
		}
	}
}

func TestCronFacts(t *testing.T) {
	tests := []struct {
		expr    string
		firesAt string
		never   bool
	}{
		{"* * * * *", "", false},
		{" 0 0 0 * * * ", "", false},
		{"@reboot", "@reboot", false},
		{" @Start ", "@start", false},
		{"@every 60s", "", false},
		{"@every 61s", "", false},
		{"30 2 30 2 *", "", true},
		{"0 0 31 4 ?", "", true},
		{"0 0 31 4 1", "", false}, // or a Monday
		{"0 0 0 1 1 * 1971", "", false},
		{"0 0 0 29 2 * 2100", "", true},
	}
	for _, test := range tests {
		c := cronMake(t, test.expr, "id")
		if at, never := c.firesAt(), c.neverFires(nil); at != test.firesAt || never != test.never ||
			c.String() != test.expr {
			t.Errorf("%q: fires at %q, never %v; want %+v; text %q", test.expr, at, never, test, c)
		}
	}
	apia := cronMake(t, "0 0 12 30 12 * 2011", "id")
	if !apia.neverFires(cronZone(t, "Pacific/Apia")) || apia.neverFires(time.UTC) {
		t.Error("30 December 2011 exists everywhere but in Apia")
	}
}

// TestCronOdd: what is allowed, but mostly not meant, gets a sentence; a step that divides its field gets none.
func TestCronOdd(t *testing.T) {
	for expr, want := range map[string]string{
		"*/90 * * * *": "*/90 in the minute field is the value 0 alone: the step is wider than the range " +
			"(@every 90m is every 90 minutes)",
		"0 */25 * * *": "*/25 in the hour field is the value 0 alone: the step is wider than the range " +
			"(@every 25h is every 25 hours)",
		"0 9-17/10 * * *": "9-17/10 in the hour field is the value 9 alone: the step is wider than the range",
		"*/25 * * * *": "*/25 in the minute field does not come out even: 50 is followed by 0, not after 25 " +
			"minutes",
		"5/25 * * * *": "5/25 in the minute field does not come out even: 55 is followed by 5, not after 25 " +
			"minutes",
		"0 */7 * * *": "*/7 in the hour field does not come out even: 21 is followed by 0, not after 7 hours",
		"*/45 * * * * *": "*/45 in the second field does not come out even: 45 is followed by 0, not after 45 " +
			"seconds",
		"0 0 */2 * *": "*/2 in the day field does not come out even: 31 is followed by 1, not after 2 days",
		"0 0 1 */5 *": "*/5 in the month field does not come out even: 11 is followed by 1, not after 5 " +
			"months",
		"* * * * * *": "the seconds are *, so it fires 60 times in each minute that matches: write 0 for " +
			"them, or leave them out",
		"* 0 3 * * *": "the seconds are *, so it fires 60 times in each minute that matches: write 0 for " +
			"them, or leave them out",
		"*/15 * * * *":         "",
		"*/1 * * * * *":        "",
		"5/15 */2 * * *":       "",
		"0-29/10 9-17/4 * * *": "",
		"0 0 1 */3 mon":        "",
		"H/25 * * * *":         "",
		"0 0 0 1 1 * */3":      "",
		"@every 90m":           "",
		"* * * * *":            "",
	} {
		if got := strings.Join(cronMake(t, expr, "x").odd, "; "); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", expr, got, want)
		}
	}
}

// TestCronShifted: shifted finds the change of the clock that matters to an expression, and says of it what next does.
func TestCronShifted(t *testing.T) {
	berlin, lord := cronZone(t, "Europe/Berlin"), cronZone(t, "Australia/Lord_Howe")
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		expr string
		zone *time.Location
		want string
	}{
		{"30 2 * * *", berlin, "2026-03-29 02:00 03:00 twice false fires true"},
		{"59 2 29 3 *", berlin, "2026-03-29 02:00 03:00 twice false fires true"},
		{"*/10 2 * * *", berlin, "2026-03-29 02:00 03:00 twice false fires false"},
		{"*/10 2 * 10 *", berlin, "2026-10-25 02:00 03:00 twice true fires true"},
		{"30 2 * 10 *", berlin, ""}, // the first pass only, as every day
		{"0 3 * * *", berlin, ""},
		{"30 1 * * *", berlin, ""},
		{"30 * * * *", berlin, ""}, // hours as they pass
		{"30 2 * * *", time.UTC, ""},
		{"@every 90m", berlin, ""},
		{"15 2 * 10 *", lord, "2026-10-04 02:00 02:30 twice false fires true"}, // half an hour
	} {
		expr, got := cronMake(t, c.expr, "x"), ""
		if s, ok := expr.shifted(from, from.AddDate(1, 0, 0), c.zone); ok {
			got = fmt.Sprintf("%s %s %s twice %v fires %v", s.at.Format("2006-01-02"), s.from, s.to, s.twice, s.fires)
			if next, ok := expr.next(s.at.Add(-time.Second), c.zone); !s.twice && (ok && next.Equal(s.at)) != s.fires {
				t.Errorf("%s in %s: after the gap it fires at %v", c.expr, c.zone, next)
			}
		}
		if got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.expr, c.zone, got, c.want)
		}
	}
}

func TestCronUpstream(t *testing.T) {
	const weekdays = "CDKTR's own library counts weekdays from Sunday=1 and reads "
	const both = "CDKTR's own library fires only on days that match both the day and the weekday field, not either"
	tests := []struct{ expr, want string }{
		{"0 0 9 * * 1-5", weekdays + `"1-5" as Sun,Mon,Tue,Wed,Thu, not Mon,Tue,Wed,Thu,Fri`},
		{"0 0 9 * * 7", weekdays + `"7" as Sat, not Sun`},
		{"0 0 9 * * 1,wed", weekdays + `"1,wed" as Sun,Wed, not Mon,Wed`},
		{"0 0 9 * * 5/1", weekdays + `"5/1" as Thu,Fri,Sat, not Fri,Sat`},
		{"0 0 0 13 * fri", both},
		{"0 0 0 13 * 6", weekdays + `"6" as Fri, not Sat; ` + both},
		{"0 0 9 * * 1-7", ""},
		{"0 0 9 * * mon-fri", ""},
		{"0 0 9 * * */2", ""},
		{"0 0 9 */2 * mon", ""},
		{"0 0 9 ? * mon", ""},
		{"0 0 9 * * 0,6", ""}, // refused there, as all that follow
		{"0 0 9 * * fri-mon", ""},
		{"0 0 9 * * sat-sun", ""},
		{"0 0 9 13 * 1L", ""},
		{"0 H 9 13 * 1", ""},
		{"0 9 13 * 1", ""},
		{"@weekly", ""},
		{"@every 5s", ""},
	}
	for _, test := range tests {
		if got := cronMake(t, test.expr, "id").upstreamDifference(); got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.expr, got, test.want)
		}
	}
}

// TestCronSpread checks H: the same for an id, different between ids and fields, in its range.
func TestCronSpread(t *testing.T) {
	seen := map[string]bool{}
	for i := range 200 {
		id := "job" + strconv.Itoa(i)
		c, again := cronMake(t, "H H(22-2) H * *", id), cronMake(t, "H H(22-2) H * *", id)
		got := cronTake(t, c, "UTC", "2025-02-01T00:00:00Z", 3)
		if !slices.Equal(got, cronTake(t, again, "UTC", "2025-02-01T00:00:00Z", 3)) {
			t.Fatalf("%s moved: %q", id, got)
		}
		at, err := time.Parse(time.RFC3339, got[0])
		if err != nil || at.Month() != 2 && at.Format("01-02 15:04") != "03-01 00:00" || at.Hour() > 2 &&
			at.Hour() < 22 {
			t.Fatalf("%s: first fire %s", id, got[0])
		}
		seen[got[0]] = true

		step := cronMake(t, "H/15 * * * *", id)
		a := cronTake(t, step, "UTC", "2025-02-01T00:00:00Z", 5)
		if first, _ := time.Parse(time.RFC3339, a[0]); first.Minute() > 15 || len(a) != 5 ||
			a[4][14:16] != a[0][14:16] {
			t.Fatalf("H/15 of %s: %q", id, a)
		}
	}
	if len(seen) < 190 {
		t.Errorf("200 ids have only %d different times", len(seen))
	}
	if c := cronMake(t, "H H * * * *", "x"); c.sec == c.min &&
		cronMake(t, "H H * * * *", "y").sec == cronMake(t, "H H * * * *", "y").min {
		t.Error("H is the same in two fields")
	}
}

// TestCronRandom checks ~: one draw a day, in its range, the same in every process, and not always the same.
func TestCronRandom(t *testing.T) {
	c := cronMake(t, "10~40 3~4 * * *", "backup")
	got := cronTake(t, c, "Europe/London", "2025-01-01T00:00:00Z", 365)
	minutes := map[string]bool{}
	for i, g := range got {
		at, _ := time.Parse(time.RFC3339, g)
		if at.YearDay() != i+1 || at.Minute() < 10 || at.Minute() > 40 || at.Hour() < 3 || at.Hour() > 4 {
			t.Fatalf("fire %d is %s", i, g)
		}
		minutes[g[11:16]] = true
	}
	if len(minutes) < 40 {
		t.Errorf("a year has only %d different times of 62", len(minutes))
	}
	// A restart, from whatever time it asks, changes nothing.
	if want := cronTake(t, cronMake(t, "10~40 3~4 * * *", "backup"), "Europe/London", got[99], 1); want[0] != got[100] {
		t.Errorf("after a restart %s, before %s", want[0], got[100])
	}
	for expr, months := range map[string]int{"0 0 ~ * *": 12, "0 0 28~31 * *": 12, "0 0 30~31 * *": 11, "0 0 1 ~ *": 1,
		"0 0 * * ~": 52} {
		got := cronTake(t, cronMake(t, expr, "backup"), "UTC", "2024-12-31T23:59:00Z", months)
		if last := got[len(got)-1]; last[:4] != "2025" {
			t.Errorf("%s: fire %d of 2025 is %s", expr, months, last)
		}
		if next := cronTake(t, cronMake(t, expr, "backup"), "UTC", got[len(got)-1], 1); next[0][:4] != "2026" &&
			months != 52 {
			t.Errorf("%s: one more fire in 2025: %s", expr, next[0])
		}
	}
	steps := cronTake(t, cronMake(t, "~30/10 5~ * * *", "backup"), "UTC", "2025-01-01T00:00:00Z", 3)
	if a, _ := time.Parse(time.RFC3339, steps[0]); a.Hour() < 5 || a.Minute() > 9 ||
		steps[2][14:16] != fmt.Sprint(a.Minute()+20) {
		t.Errorf("~30/10: %q", steps)
	}
}

// TestCronPinned holds the draws of H and ~, which no later version may move.
func TestCronPinned(t *testing.T) {
	tests := []struct{ expr, want string }{
		{"H H H * * *", "2025-01-01T14:45:58Z 2025-01-02T14:45:58Z"},
		{"H/20 H(0-7) H * H", "2025-01-02T06:05:00Z 2025-01-02T06:25:00Z"},
		{"~ ~ ~ * * *", "2025-01-01T21:51:59Z 2025-01-02T02:01:39Z"},
		{"0 0 ~ ~ *", "2025-05-09T00:00:00Z 2026-02-09T00:00:00Z"},
	}
	for _, test := range tests {
		got := cronTake(t, cronMake(t, test.expr, "etl.daily"), "UTC", "2025-01-01T00:00:00Z", 2)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q: %q", test.expr, got)
		}
	}
}

// cronRule is a zone as a file in the slim form has it: one listed transition, and a TZ rule for all after it.
func cronRule(t testing.TB, rule string, listed time.Time, offset int) *time.Location {
	t.Helper()
	head := func(version byte, txs, types, chars int) []byte {
		b := append([]byte("TZif"), version)
		b = append(b, make([]byte, 15)...)
		for _, n := range []int{0, 0, 0, txs, types, chars} {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
		return b
	}
	b := append(head('2', 0, 1, 4), 0, 0, 0, 0, 0, 0, 'A', 'A', 'A', 0)
	b = append(b, head('2', 1, 2, 8)...)
	b = binary.BigEndian.AppendUint64(b, uint64(listed.Unix()))
	b = append(b, 1)
	b = append(b, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(int32(offset)))
	b = append(b, 0, 4)
	b = append(b, "AAA\x00BBB\x00\n"+rule+"\n"...)
	loc, err := time.LoadLocationFromTZData(rule, b)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// cronCase is a random expression, and what the oracle knows about it without having read it.
type cronCase struct {
	text       string
	wild       bool
	sec        bool
	match      [6][64]bool // values of second, minute, hour, day, month, weekday
	star       [6]bool
	extraMonth func(time.Time) bool
	extraWeek  func(time.Time) bool
}

// matches tells whether a wall clock reading, held in UTC, is one of the expression's.
func (k *cronCase) matches(w time.Time) bool {
	if !k.match[0][w.Second()] || !k.match[1][w.Minute()] || !k.match[2][w.Hour()] || !k.match[4][w.Month()] {
		return false
	}
	dom := k.match[3][w.Day()] || k.extraMonth != nil && k.extraMonth(w)
	dow := k.match[5][w.Weekday()] || k.extraWeek != nil && k.extraWeek(w)
	if k.star[3] || k.star[5] {
		return dom && dow
	}
	return dom || dow
}

// cronRandomField writes a field and marks its values; near are the values worth more than others.
func cronRandomField(rng *rand.Rand, k *cronCase, i, lo, hi int, starOdds float64, near []int) string {
	mark := func(a, b, step int) {
		for v := a; v <= b; v += step {
			n := v
			if n > hi {
				n -= hi - lo + 1
			}
			k.match[i][n] = true
		}
	}
	if rng.Float64() < starOdds {
		k.star[i] = true
		if rng.IntN(3) == 0 && i != 4 {
			step := 1 + rng.IntN(hi/2)
			mark(lo, hi, step)
			return "*/" + strconv.Itoa(step)
		}
		mark(lo, hi, 1)
		return "*"
	}
	value := func() int {
		if len(near) > 0 && rng.IntN(4) > 0 {
			return near[rng.IntN(len(near))]
		}
		return lo + rng.IntN(hi-lo+1)
	}
	var items []string
	for range 1 + rng.IntN(3) {
		a, b := value(), value()
		switch rng.IntN(4) {
		case 0:
			step := 1 + rng.IntN(hi/2)
			end := b
			if end < a {
				end += hi - lo + 1
			}
			mark(a, end, step)
			items = append(items, fmt.Sprintf("%d-%d/%d", a, b, step))
		default:
			mark(a, a, 1)
			items = append(items, strconv.Itoa(a))
		}
	}
	return strings.Join(items, ",")
}

func cronRandomCase(rng *rand.Rand, withSeconds, days bool) *cronCase {
	k := &cronCase{sec: withSeconds}
	var f [6]string
	f[0] = cronRandomField(rng, k, 0, 0, 59, 0.2, []int{0, 59, 30})
	if !withSeconds {
		k.match[0] = [64]bool{0: true}
	}
	f[1] = cronRandomField(rng, k, 1, 0, 59, 0.2, []int{0, 30, 59, 15})
	f[2] = cronRandomField(rng, k, 2, 0, 23, 0.2, []int{0, 1, 2, 3, 23})
	k.wild = k.star[1] || k.star[2]
	odds := 0.8
	if days {
		odds = 0.3
	}
	f[3] = cronRandomField(rng, k, 3, 1, 31, odds, []int{1, 28, 29, 30, 31})
	f[4] = cronRandomField(rng, k, 4, 1, 12, max(odds, 0.6), nil)
	f[5] = cronRandomField(rng, k, 5, 0, 6, odds, nil)
	if days && !k.star[3] && rng.IntN(2) == 0 {
		f[3] += "," + k.addMonthDay(rng)
	}
	if days && !k.star[5] && rng.IntN(2) == 0 {
		f[5] += "," + k.addWeekday(rng)
	}
	parts := f[:]
	if !withSeconds {
		parts = f[1:]
	}
	k.text = strings.Join(parts, " ")
	return k
}

func cronLastDay(w time.Time) int {
	return time.Date(w.Year(), w.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func (k *cronCase) addMonthDay(rng *rand.Rand) string {
	n := 1 + rng.IntN(31)
	switch rng.IntN(3) {
	case 0:
		k.extraMonth = func(w time.Time) bool { return w.Day() == cronLastDay(w)-n+1 }
		return fmt.Sprintf("L-%d", n-1)
	case 1:
		k.extraMonth = func(w time.Time) bool { return w.Day() == cronLastDay(w) }
		return "L"
	}
	// nW: of the workdays of the month the one nearest to n; at the same distance the one on the same side as
	// the weekend's edge, which is unique as a weekend has two days.
	k.extraMonth = func(w time.Time) bool {
		if n > cronLastDay(w) {
			return false
		}
		best, distance := 0, 99
		for d := 1; d <= cronLastDay(w); d++ {
			wd := time.Date(w.Year(), w.Month(), d, 0, 0, 0, 0, time.UTC).Weekday()
			if gap := max(d-n, n-d); wd != time.Saturday && wd != time.Sunday && gap < distance {
				best, distance = d, gap
			}
		}
		return w.Day() == best
	}
	return fmt.Sprintf("%dW", n)
}

func (k *cronCase) addWeekday(rng *rand.Rand) string {
	wd, n := time.Weekday(rng.IntN(7)), rng.IntN(6)
	if n == 0 {
		k.extraWeek = func(w time.Time) bool { return w.Weekday() == wd && w.Day()+7 > cronLastDay(w) }
		return fmt.Sprintf("%dL", wd)
	}
	k.extraWeek = func(w time.Time) bool { return w.Weekday() == wd && (w.Day()-1)/7+1 == n }
	return fmt.Sprintf("%d#%d", wd, n)
}

// oracle walks all minutes (or seconds) from start to end and returns the instants at which the job fires.
func (k *cronCase) oracle(loc *time.Location, start, end time.Time) []int64 {
	step := int64(60)
	if k.sec {
		step = 1
	}
	var fires []int64
	done := map[int64]bool{}
	last := int64(0) // the wall clock of the instant before
	for u := start.Unix(); u < end.Unix(); u += step {
		_, offset := time.Unix(u, 0).In(loc).Zone()
		wall := u + int64(offset)
		fire := false
		if gap := wall - last - step; last != 0 && gap > 0 && gap <= 3*3600 && !k.wild {
			for w := last + step; w < wall; w += step {
				fire = fire || !done[w] && k.matches(time.Unix(w, 0).UTC())
			}
		}
		if k.matches(time.Unix(wall, 0).UTC()) && (k.wild || !done[wall]) {
			fire, done[wall] = true, true
		}
		if fire {
			fires = append(fires, u)
		}
		last = wall
	}
	return fires
}

// cronSeed is the seed of a random test: printed, and taken from CRON_SEED to repeat one.
func cronSeed(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("CRON_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("CRON_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// TestCronOracle compares next with the oracle around changes of the clock.
func TestCronOracle(t *testing.T) {
	t.Parallel()
	rng := cronSeed(t)
	var zones []*time.Location
	for _, name := range []string{"Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo",
		"Africa/Cairo", "Asia/Tehran", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kwajalein", "Africa/Casablanca",
		"America/St_Johns", "Antarctica/Troll", "Asia/Gaza", "America/Caracas", "Asia/Pyongyang"} {
		zones = append(zones, cronZone(t, name))
	}
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	zones = append(zones,
		cronRule(t, "EST5EDT,M3.2.0,M11.1.0", day(2007, 11, 4), -5*3600),
		cronRule(t, "AEST-10AEDT,M10.1.0,M4.1.0/3", day(2008, 7, 1), 10*3600),
		cronRule(t, "<+0530>-5:30<+0600>,J60/-1,J366/25", day(1976, 6, 1), 19800))
	total := 0
	for i := range 1500 {
		loc := zones[rng.IntN(len(zones))]
		tr := time.Unix(rng.Int64N(2e9)+15e7, 0).In(loc)
		if _, end := tr.ZoneBounds(); !end.IsZero() {
			tr = end
		}
		switch { // the two days that did not exist
		case loc.String() == "Pacific/Apia" && rng.IntN(2) == 0:
			tr = time.Unix(1325239200, 0)
		case loc.String() == "Pacific/Kwajalein" && rng.IntN(2) == 0:
			tr = time.Unix(745934400, 0)
		}
		tr = tr.Truncate(time.Minute)
		withSeconds := i%20 == 0
		k := cronRandomCase(rng, withSeconds, false)
		before, behind := 30*time.Hour, 30*time.Hour
		if withSeconds {
			before, behind = 4*time.Hour, 3*time.Hour
		}
		fires := k.oracle(loc, tr.Add(-before), tr.Add(behind))
		c, clock := cronMake(t, k.text, "id"), cronClockOf(loc)
		after := tr.Add(time.Duration(rng.Int64N(int64(6*time.Hour))) - 3*time.Hour)
		from, _ := slices.BinarySearch(fires, after.Unix()+1)
		for at, left := after, 300; left > 0; left-- {
			next, ok := c.next(at, loc)
			if u, listed := c.nextUnix(at.Unix(), clock); listed != ok || ok && u != next.Unix() {
				t.Fatalf("%q in %s after %v: next %v, by the list of stretches %v", k.text, loc, at.In(loc), next,
					time.Unix(u, 0).In(loc))
			}
			if !ok || !next.Before(tr.Add(behind)) {
				if from < len(fires) {
					t.Fatalf("%q in %s after %v: next %v, oracle %v", k.text, loc, at.In(loc), next,
						time.Unix(fires[from], 0).In(loc))
				}
				break
			}
			if from == len(fires) || next.Unix() != fires[from] {
				t.Fatalf("%q in %s after %v: next %v, oracle has %v", k.text, loc, at.In(loc), next,
					fires[from:min(from+1, len(fires))])
			}
			at, from, total = next, from+1, total+1
		}
	}
	t.Logf("%d fires compared", total)
}

// TestCronOracleDays compares the day fields with a walk over all days of some years.
func TestCronOracleDays(t *testing.T) {
	t.Parallel()
	rng := cronSeed(t)
	for range 400 {
		k := cronRandomCase(rng, false, true)
		c := cronMake(t, k.text, "id")
		at := time.Date(1990+rng.IntN(60), time.Month(1+rng.IntN(12)), 1+rng.IntN(28), 0, 0, 0, 0, time.UTC)
		end := at.AddDate(3, 0, 0)
		k.match[1], k.match[2] = [64]bool{0: true}, [64]bool{0: true}
		for ; at.Before(end); at = at.AddDate(0, 0, 1) {
			next, ok := c.next(at.Add(-time.Second), time.UTC)
			fires := ok && next.Before(at.AddDate(0, 0, 1))
			if fires != k.matches(at) {
				t.Fatalf("%q on %s %s: next %v, oracle %v", k.text, at.Weekday(), at.Format(time.DateOnly), next,
					k.matches(at))
			}
		}
	}
}

// TestCronOracleFar compares the first days from some dates on with a walk over all days of a cycle of the calendar.
// The dates of these expressions are rare: many have none for decades, or none at all.
func TestCronOracleFar(t *testing.T) {
	t.Parallel()
	rng := cronSeed(t)
	never := 0
	for range 60 {
		days, months := []string{"29", "30", "31", "29,30", "L-28", "L-30", "31W", "30,L-29"}, []string{"2", "2", "4,9"}
		text := days[rng.IntN(len(days))] + " " + months[rng.IntN(len(months))] + " "
		match := func(time.Time) bool { return true }
		if wd := rng.IntN(8); wd < 7 {
			text += fmt.Sprintf("%d-%d/7", wd, wd)
			if rng.IntN(2) == 0 { // a star in front makes it narrow the days: */8 is Sunday alone
				text = strings.Replace(text, fmt.Sprintf("%d-%d/7", wd, wd), "*/8", 1)
				wd = 0
			}
			match = func(w time.Time) bool { return int(w.Weekday()) == wd }
		} else {
			text += "*"
		}
		c := cronMake(t, "0 0 "+text, "id")
		field := strings.Fields(text)
		narrow, fires := strings.HasPrefix(field[2], "*"), 0
		begin := time.Date(1970+rng.IntN(100), 1, 1, 0, 0, 0, 0, time.UTC)
		at, ok := c.next(begin.Add(-time.Second), time.UTC)
		for day := begin; day.Year() < begin.Year()+400; day = day.AddDate(0, 0, 1) {
			if !slices.Contains(strings.Split(field[1], ","), strconv.Itoa(int(day.Month()))) {
				continue
			}
			in := cronDayMatches(field[0], day)
			if narrow && !(in && match(day)) || !narrow && !in && !match(day) {
				continue
			}
			if fires++; !ok || !at.Equal(day) {
				t.Fatalf("%s: %v %v, by the walk %v", c, at, ok, day)
			}
			if fires > 200 {
				break
			}
			at, ok = c.next(at, time.UTC)
		}
		if fires == 0 {
			never++
		}
		if (fires == 0) != (c.kinds == 0) || fires == 0 && ok {
			t.Fatalf("%s: %d fires, kinds of years %b, next %v", c, fires, c.kinds, at)
		}
	}
	t.Logf("%d of 60 have no date", never)
}

// cronDayMatches says whether a day field of numbers, L-n and nW has a date.
func cronDayMatches(field string, day time.Time) bool {
	last := cronLastDay(day)
	for item := range strings.SplitSeq(field, ",") {
		if n, ok := strings.CutPrefix(item, "L-"); ok {
			back, _ := strconv.Atoi(n)
			if day.Day() == last-back {
				return true
			}
			continue
		}
		text, work := strings.CutSuffix(item, "W")
		n, _ := strconv.Atoi(text)
		if !work && day.Day() == n {
			return true
		}
		if work && n <= last { // 31W: the last day that is no Saturday or Sunday
			d := last
			for wd := day.AddDate(0, 0, d-day.Day()).Weekday(); wd == time.Saturday ||
				wd == time.Sunday; wd = day.AddDate(
				0, 0, d-day.Day()).Weekday() {
				d--
			}
			if day.Day() == d {
				return true
			}
		}
	}
	return false
}

// TestCronYearKinds: years of one kind begin on the same weekday and are as long, and each follows from the one before.
func TestCronYearKinds(t *testing.T) {
	seen := map[int]bool{}
	for y := 1600; y < 2401; y++ {
		first := time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
		kind := int(first.Weekday())
		if first.AddDate(1, 0, -1).YearDay() == 366 {
			kind += 7
		}
		if got := cronYearKind(y); got != kind || cronYearAfter(got, y+1) != cronYearKind(y+1) {
			t.Fatalf("%d is of kind %d, not %d; the next of %d, not %d", y, got, kind, cronYearAfter(got, y+1),
				cronYearKind(y+1))
		}
		if y > 2000 && y < 2029 {
			seen[kind] = true
		}
	}
	if len(seen) != cronYearKinds {
		t.Errorf("2001 to 2028 have %d kinds of years", len(seen))
	}
}

// TestCronClock: the list of a zone's stretches gives the zone's offsets, and is short.
func TestCronClock(t *testing.T) {
	rng := cronSeed(t)
	files, err := zoneFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sortedKeys(files) {
		zone := cronZone(t, name)
		clock := cronClockOf(zone)
		if n := len(clock.stretches); n > 320 {
			t.Errorf("%s has %d stretches", name, n)
		}
		for i := 1; i < len(clock.stretches); i++ {
			one, two := clock.stretches[i-1], clock.stretches[i]
			if one.end != two.from || one.offset == two.offset || one.from >= one.end {
				t.Fatalf("%s: %+v, then %+v", name, one, two)
			}
		}
		for range 100 {
			u := rng.Int64N(cronListLast+1e9) - 5e8
			at := clock.at(u)
			if _, offset := time.Unix(u, 0).In(zone).Zone(); int64(offset) != at.offset || u < at.from || u >= at.end {
				t.Fatalf("%s at %d: %+v, and the offset is %d", name, u, at, offset)
			}
		}
	}
}

// TestCronCalendar compares the calendar arithmetic with package time over two cycles of it.
func TestCronCalendar(t *testing.T) {
	for day, at := int64(-135140), time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2401; day, at = day+1,
		at.AddDate(0, 0, 1) {
		y, m, d := cronCivil(day)
		if y != at.Year() || m != int(at.Month()) || d != at.Day() || cronWeekdayOf(day) != int(at.Weekday()) {
			t.Fatalf("day %d is %d-%d-%d, not %v", day, y, m, d, at)
		}
		if d == 1 && (cronDays(y, m) != day || cronMonthLen(y, m) != cronLastDay(at)) {
			t.Fatalf("%d-%d begins on %d and has %d days", y, m, cronDays(y, m), cronMonthLen(y, m))
		}
	}
}

// TestCronEnds asks at the ends of time.
func TestCronEnds(t *testing.T) {
	c, every := cronMake(t, "0 0 1 1 *", "id"), cronMake(t, "@every 36500d", "id")
	for _, at := range []time.Time{{}, time.Unix(-1<<60, 0), time.Unix(-1<<40, 0), time.Unix(cronLast-1, 0),
		time.Unix(1<<60, 0), time.Unix(1<<62, 0)} {
		for _, loc := range []*time.Location{time.UTC, cronZone(t, "America/New_York"),
			time.FixedZone("odd", -86400*3)} {
			for _, c := range []*cronExpr{c, every} {
				next, ok := c.next(at, loc)
				if late := at.Unix() >= cronLast-1; ok == late || ok && !next.After(at) {
					t.Errorf("%s after %v in %s: %v %v", c, at, loc, next, ok)
				}
			}
		}
	}
}

// TestCronAllocations holds that a search costs no memory, whatever it meets.
func TestCronAllocations(t *testing.T) {
	loc := cronZone(t, "America/New_York")
	clock := cronClockOf(loc)
	at := time.Date(2026, 3, 8, 5, 0, 0, 0, time.UTC)
	for _, expr := range []string{"30 2 * * *", "*/5 * * * *", "0 0 29 2 ?", "0 0 30 2 *", "~ ~ LW * *", "@every 7s"} {
		c := cronMake(t, expr, "id")
		if n := allocsOf(20, func() { c.next(at, loc) }); n != 0 {
			t.Errorf("%s: %v allocations", expr, n)
		}
		if n := allocsOf(20, func() { c.nextUnix(at.Unix(), clock) }); n != 0 {
			t.Errorf("%s: %v allocations with the list of stretches", expr, n)
		}
	}
}

func FuzzCronParse(f *testing.F) {
	for _, expr := range []string{"* * * * *", "0 0 29 2 ?", "H/15 H(0-7) LW * mon#2",
		"~ 0~5/2 L-3,15W nov-feb fri-mon,5L",
		"*/5 0 0 30 2 * 2030-2040/2", "@every 1d2h", "@reboot", "@start", "******", "TZ=x * * * * *"} {
		f.Add(expr, "id", int64(1.7e9))
	}
	loc := cronZone(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, expr, id string, from int64) {
		c, err := cronParse(expr, id)
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatalf("%q: %v with error %v", expr, c, err)
			}
			return
		}
		c.upstreamDifference()
		at := time.Unix(from, 0)
		for range 5 {
			next, ok := c.next(at, loc)
			if !ok {
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: next after %v is %v", expr, at, next)
			}
			if c.firesAt() != "" || c.neverFires(loc) && next.Year() >= 1970 {
				t.Fatalf("%q fires at %v and should not", expr, next)
			}
			at = next
		}
	})
}

func BenchmarkCronNext(b *testing.B) {
	london := cronClockOf(cronZone(b, "Europe/London"))
	for _, expr := range []string{"* * * * *", "30 2 * * *", "*/10 * * * * *", "0 9 * * mon-fri", "0 0 LW * *",
		"~ 3 * * *",
		"0 0 29 2 ?", "0 0 29 2 */7", "0 0 31 2 *", "0 0 31 2,4,6,9,11 *", "@every 90s"} {
		b.Run(strings.ReplaceAll(expr, "/", "|"), func(b *testing.B) {
			c, at := cronMake(b, expr, "id"), time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC).Unix()
			b.ReportAllocs()
			for b.Loop() {
				c.nextUnix(at, london)
			}
		})
	}
}

func BenchmarkCronParse(b *testing.B) {
	for b.Loop() {
		if _, err := cronParse("*/15 9-17 * jan-nov mon-fri", "id"); err != nil {
			b.Fatal(err)
		}
	}
}
