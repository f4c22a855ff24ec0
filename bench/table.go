package main

// groups is all that is measured, in the order of the table.
func groups() []group {
	var all []group
	all = append(all, outputGroups()...)
	all = append(all, runsGroup())
	all = append(all, graphGroups()...)
	all = append(all, againGroups()...)
	all = append(all, daemonGroups()...)
	all = append(all, wireGroups()...)
	all = append(all, idleGroups()...)
	all = append(all, historyGroups()...)
	return all
}
