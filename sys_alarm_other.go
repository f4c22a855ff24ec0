//go:build !linux

// sys_alarm_other.go: where there are no alarms but the runtime's timers.

package main

// alarmNew makes an alarm that is not set.
func alarmNew() alarm { return alarmTimer() }
