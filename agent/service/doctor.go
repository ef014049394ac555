package service

import (
	"context"
	"errors"
	"os/user"
	"runtime"

	"github.com/restic-manager/restic-manager/doctor"
)

// Findings says whether the service runs, starts with the machine, and may do with files
// what the policy promises.
func Findings(ctx context.Context, may doctor.Access) []doctor.Finding {
	const effect = "schedules do not fire and nothing is asked of this host"
	if runtime.GOOS == "linux" {
		unit := doctor.AskUnit(ctx, Name)
		list := unit.Runs(Name, effect)
		if _, err := user.Lookup(unit["User"]); unit.Steps() && errors.As(err, new(user.UnknownUserError)) {
			list = append(list, doctor.Finding{State: doctor.Fail, What: "the unit has the agent run as the user " + unit["User"] +
				", and there is none", Effect: effect + " once the service is started again",
				Remedy: "useradd --system --no-create-home --home-dir /root --shell /usr/sbin/nologin " + unit["User"] +
					", then systemctl restart " + Name})
		}
		return append(list, unit.Allows(Name, may)...)
	}
	status, err := Query()
	switch {
	case err != nil:
		return []doctor.Finding{doctor.Well("what starts the agent is not known here: %v", err)}
	case !status.Installed:
		return []doctor.Finding{{State: doctor.Warning, What: "the service is not installed",
			Effect: effect + " after the next start of the machine",
			Remedy: "restic-manager-agent install"}}
	case !status.Running:
		return []doctor.Finding{{State: doctor.Fail, What: status.Words, Effect: effect, Remedy: "restic-manager-agent start"}}
	}
	return []doctor.Finding{doctor.Well("%s", status.Words)}
}
