#!/bin/sh
# Installs the agent of restic-manager on this Linux host, and enrols the host with a token:
#
#   sudo sh install.sh --token TOKEN [--policy backup|restore|keeper|managed]
#
# Without a token it installs: on a host that is enrolled, the agent that runs there is
# replaced and restarted; on any other it says how to enrol. Other options go to
# restic-manager-agent enroll: --again, --repository, --repository-root, --backup-root,
# --restore-root. --token-file FILE reads the token from a file. --binary installs the program
# alone where a package would be installed.
#
# Nothing in here is secret, and nothing is done before the last line, which calls the one
# function: a script that was cut short does nothing.
rm_install() {
	set -eu
	case ":$PATH:" in # sudo of some systems leaves it out, and restic may be there
	*:/usr/local/bin:*) ;;
	*) PATH=$PATH:/usr/local/bin ;;
	esac

	rm_files='@FILES@'
	rm_pin='@PIN@'
	rm_agents='@AGENTS@'
	rm_problem='@PROBLEM@'
	# system, processor, kind, SHA-256 and name of each file
	rm_table='@TABLE@'

	rm_say() { printf '%s\n' "$*"; }
	rm_warn() { printf 'warning: %s\n' "$*" >&2; }
	rm_die() {
		printf 'restic-manager: %s\n' "$*" >&2
		exit 1
	}

	rm_token='' rm_tokened='' rm_policy=backup rm_again='' rm_binary=''
	rm_state=/var/lib/restic-manager-agent
	rm_there=''
	[ ! -f "$rm_state/identity.json" ] || rm_there=yes
	rm_count=$#
	while [ "$rm_count" -gt 0 ]; do # what goes to enroll is put behind the rest
		rm_option=$1
		shift
		rm_count=$((rm_count - 1))
		case $rm_option in
		--*=*)
			rm_value=${rm_option#*=}
			rm_option=${rm_option%%=*}
			;;
		--again | --binary) rm_value=yes ;;
		--token | --token-file | --policy | --repository | --repository-root | --backup-root | --restore-root)
			[ "$rm_count" -gt 0 ] || rm_die "$rm_option needs a value. Nothing was changed."
			rm_value=$1
			shift
			rm_count=$((rm_count - 1))
			;;
		*) rm_die "$rm_option is no option of this script. Nothing was changed; copy the whole command of the page Add host." ;;
		esac
		case $rm_option in
		--token) rm_token=$rm_value rm_tokened=yes ;;
		--token-file)
			[ -r "$rm_value" ] || rm_die "the file $rm_value cannot be read. Nothing was changed."
			rm_token=$(cat "$rm_value") rm_tokened=yes
			;;
		--policy) rm_policy=$rm_value ;;
		--again) rm_again=--again ;;
		--binary) rm_binary=yes ;;
		--repository | --repository-root | --backup-root | --restore-root) set -- "$@" "$rm_option" "$rm_value" ;;
		*) rm_die "$rm_option takes no value. Nothing was changed." ;;
		esac
	done
	case $rm_policy in
	backup | keeper | managed) ;;
	restore)
		case " $* " in
		*' --restore-root '*) ;;
		*) rm_die "the policy restore needs --restore-root DIR: say below which directory restores may write. Nothing was changed." ;;
		esac
		;;
	*) rm_die "$rm_policy is no policy: backup, restore, keeper or managed. Nothing was changed." ;;
	esac
	case $rm_token in
	rmt1_*) ;;
	'') [ -z "$rm_tokened" ] || rm_die "the token is empty. Nothing was changed; copy the whole command of the page Add host." ;;
	*) rm_die "this is no enrolment token; copy it whole, it begins with rmt1_. Nothing was changed." ;;
	esac

	[ "$(uname -s)" = Linux ] || rm_die "this script is for Linux; for Windows there is install.ps1. Nothing was changed."
	[ "$(id -u)" = 0 ] || rm_die "only root can install the agent: put sudo before sh. Nothing was changed."
	if [ -n "$rm_token" ] && [ -n "$rm_there" ] && [ -z "$rm_again" ]; then # enroll would say no, after its agent was replaced
		rm_die "this host is enrolled already: $rm_state/identity.json is there. Nothing was changed, and the token is still good.
To install this server's agent over the one that is here, run this without a token. To give the host new keys, have a token made for it
on its page, and add --again."
	fi
	if [ -n "$rm_problem" ] && { [ -z "$rm_files" ] || [ -z "$rm_table" ]; }; then
		rm_die "$rm_problem Nothing was changed."
	fi
	[ -z "$rm_problem" ] || rm_warn "$rm_problem"

	rm_machine=$(uname -m)
	case $rm_machine in
	x86_64 | amd64) rm_arch=amd64 ;;
	aarch64 | arm64) rm_arch=arm64 ;;
	armv7l | armv8l) rm_arch=armv7 ;;
	i386 | i686) rm_arch=386 ;;
	*) rm_die "there is no agent for the processor $rm_machine. Nothing was changed." ;;
	esac
	if [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ]; then # over a kernel of 64 bits: its packages are not the kernel's
		case $rm_arch in
		arm64) rm_arch=armv7 ;;
		amd64) rm_binary=yes ;; # which needs nothing but the kernel
		esac
	fi

	rm_has() { command -v "$1" >/dev/null 2>&1; }
	rm_pick() { # prints sum and name of the file of a kind
		printf '%s\n' "$rm_table" | while read -r rm_f_os rm_f_arch rm_f_kind rm_f_sum rm_f_name; do
			if [ "$rm_f_os $rm_f_arch $rm_f_kind" = "linux $rm_arch $1" ]; then
				printf '%s %s\n' "$rm_f_sum" "$rm_f_name"
			fi
		done
	}
	# A unit that stands before a package's goes on starting the program that it names.
	rm_own=/etc/systemd/system/restic-manager-agent.service
	if grep -q '^ExecStart="*/usr/local/bin/restic-manager-agent' "$rm_own" 2>/dev/null && [ -n "$(rm_pick binary)" ]; then
		rm_binary=yes
	fi
	rm_kind=binary
	if [ -z "$rm_binary" ]; then # where dpkg or rpm is a tool among others, it does not know itself
		if rm_has dpkg && dpkg -s dpkg >/dev/null 2>&1 && [ -n "$(rm_pick deb)" ]; then
			rm_kind=deb
		elif rm_has rpm && rpm -q rpm >/dev/null 2>&1 && [ -n "$(rm_pick rpm)" ]; then
			rm_kind=rpm
		elif rm_has apk && [ -n "$(rm_pick apk)" ]; then
			rm_kind=apk
		fi
	fi
	rm_file=$(rm_pick "$rm_kind")
	[ -n "$rm_file" ] || rm_die "the control plane has no agent for Linux on $rm_arch that fits this system. Nothing was changed.
Put restic-manager-agent_VERSION_linux_$rm_arch or a package into its directory of agents, and run this again."
	rm_sum=${rm_file%% *}
	rm_name=${rm_file#* }

	rm_busy() { wget --help 2>&1 | grep -q BusyBox; }
	rm_fetch() { # address, file; what is pinned is the agents' port, which is reached without a proxy
		if rm_has curl; then
			if [ -n "$rm_pin" ]; then
				curl -fsSk --noproxy '*' --tlsv1.3 --pinnedpubkey "sha256//$rm_pin" --retry 3 --connect-timeout 15 -o "$2" "$1"
			else
				curl -fsSL --proto '=https' --proto-redir '=https' --retry 3 --connect-timeout 15 -o "$2" "$1"
			fi
		elif rm_has wget; then
			if [ -n "$rm_pin" ]; then
				! rm_busy || rm_die "the wget of BusyBox cannot check whom it downloads from. Nothing was changed; install curl, and run this again."
				https_proxy='' wget -q --no-check-certificate --pinnedpubkey="sha256//$rm_pin" -O "$2" "$1"
			else
				wget -q -O "$2" "$1"
			fi
		else
			rm_die "neither curl nor wget is here to download the agent. Nothing was changed; install curl, and run this again."
		fi
	}

	# Whether somebody answers where agents connect, which use no proxy; any answer is one.
	rm_probe() {
		rm_code=0
		if rm_has curl; then
			curl -sk --noproxy '*' --connect-timeout 15 --max-time 30 -o /dev/null "https://$rm_agents/" || rm_code=$?
			case $rm_code in
			0 | 52 | 56 | 92) return 0 ;;
			4 | 35) # it cannot speak TLS 1.3, which says that somebody is there
				rm_warn "curl cannot speak TLS 1.3 with $rm_agents, so whether agents can is seen when the host enrols."
				return 0
				;;
			esac
			return 1
		fi
		rm_has wget || return 0
		https_proxy='' wget -q --no-check-certificate -T 15 -t 1 -O /dev/null "https://$rm_agents/" || rm_code=$?
		case $rm_code in
		0 | 5 | 6 | 7 | 8) return 0 ;;
		1) # of BusyBox, whatever the reason
			if rm_busy; then
				rm_warn "wget does not say whether $rm_agents answers, so whether agents reach it is seen when the host enrols."
				return 0
			fi
			;;
		esac
		return 1
	}
	rm_probe || rm_die "this host does not reach the control plane's port for agents at $rm_agents. Nothing was changed.
Check that the name leads there, and that a firewall between lets TCP through to that port; then run this again."

	rm_found=''
	rm_note() { rm_found="$rm_found
  $1"; }
	if rm_has systemctl; then
		rm_units=$(systemctl list-timers --all --no-legend --no-pager 2>/dev/null |
			grep -Eio '[^ ]*(restic|autorestic|resticprofile|backrest)[^ ]*\.timer' | grep -v 'restic-manager' | sort -u) || rm_units=''
		for rm_unit in $rm_units; do rm_note "the timer $rm_unit (off: systemctl disable --now $rm_unit)"; done
		for rm_unit in /etc/systemd/system/*.timer; do
			rm_service=${rm_unit%.timer}.service
			if [ -f "$rm_service" ] && grep -Eq '^Exec.*restic' "$rm_service" && ! grep -q restic-manager "$rm_service"; then
				rm_unit=${rm_unit##*/}
				case $rm_found in *"timer $rm_unit "*) ;; *) rm_note "the timer $rm_unit (off: systemctl disable --now $rm_unit)" ;; esac
			fi
		done
	fi
	for rm_cron in /etc/crontab /etc/anacrontab /etc/cron.d/* /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* \
		/etc/cron.monthly/* /etc/periodic/*/* /var/spool/cron/* /var/spool/cron/crontabs/*; do
		if [ -f "$rm_cron" ] && grep -v '^[[:space:]]*#' "$rm_cron" 2>/dev/null | grep -v restic-manager | grep -q restic; then
			rm_note "a cron job in $rm_cron"
		fi
	done

	rm_tmp=$(mktemp -d)
	trap 'rm -rf "$rm_tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	rm_say "Downloading $rm_name"
	rm_fetch "$rm_files$rm_name" "$rm_tmp/$rm_name" || rm_die "the agent could not be downloaded from $rm_files$rm_name. Nothing was changed.
Fetch this script anew and run it again: the control plane may have another version by now, or another key."
	if rm_has sha256sum; then
		rm_got=$(sha256sum "$rm_tmp/$rm_name")
	elif rm_has shasum; then
		rm_got=$(shasum -a 256 "$rm_tmp/$rm_name")
	else
		rm_die "sha256sum is not here, so the download cannot be checked. Nothing was changed; install coreutils, and run this again."
	fi
	[ "${rm_got%% *}" = "$rm_sum" ] || rm_die "what was downloaded is not what the control plane has: its SHA-256 is ${rm_got%% *} in place of
$rm_sum. Nothing was changed. Fetch this script anew and run it again; if that does not help, somebody between changes it."

	rm_say "Installing $rm_name"
	case $rm_kind in
	deb)
		if rm_has apt-get; then
			chmod 755 "$rm_tmp" # apt reads it as a user of its own
			DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades "$rm_tmp/$rm_name" </dev/null
		else
			dpkg -i "$rm_tmp/$rm_name" </dev/null
		fi
		;;
	rpm)
		if rm_has dnf; then
			dnf install -y "$rm_tmp/$rm_name" </dev/null
		elif rm_has yum; then
			yum install -y "$rm_tmp/$rm_name" </dev/null
		elif rm_has zypper; then
			zypper --non-interactive install --allow-unsigned-rpm "$rm_tmp/$rm_name" </dev/null
		else
			rpm -U --replacepkgs "$rm_tmp/$rm_name"
		fi
		;;
	apk) apk add --allow-untrusted "$rm_tmp/$rm_name" </dev/null ;;
	binary)
		# One by one: half of it, as of a full disk, is not put in the place of what is there.
		install -m 0755 "$rm_tmp/$rm_name" /usr/local/bin/restic-manager-agent.new &&
			mv -f /usr/local/bin/restic-manager-agent.new /usr/local/bin/restic-manager-agent
		;;
	esac || rm_die "installing $rm_name failed; why stands above. Who this host is stays as it was, and a token is still good."

	rm_agent=restic-manager-agent
	if [ "$rm_kind" = binary ]; then
		rm_agent=/usr/local/bin/restic-manager-agent
	fi
	if ! rm_has restic; then
		rm_warn "restic is not here, and nothing is backed up before it is: install it (apt-get install restic, dnf install restic,
apk add restic, or a release of github.com/restic/restic), then restart the agent."
	fi

	if [ -n "$rm_token" ]; then
		# Every user of the host sees a command line.
		(umask 077 && printf '%s\n' "$rm_token" >"$rm_tmp/token") || rm_die "the agent is installed, and the host is not enrolled: there is
no room below $rm_tmp. Run this again."
		# shellcheck disable=SC2086 # --again is one word or none
		"$rm_agent" enroll --server "$rm_agents" --token-file "$rm_tmp/token" --state "$rm_state" --policy "$rm_policy" $rm_again "$@" ||
			rm_die "the agent is installed, and the host is not enrolled; why stands above. Once that is mended, run:
  $rm_agent enroll --server $rm_agents --state $rm_state --policy $rm_policy --token TOKEN"
	elif [ -n "$rm_there" ]; then
		rm_say "The agent is installed. The host is enrolled already: who it is and what it permits stay as they are."
	else
		rm_say "The agent is installed and not enrolled. Make a token on the page Add host, and run:
  $rm_agent enroll --server $rm_agents --state $rm_state --token TOKEN"
	fi

	if [ -f "$rm_own" ] && ! grep -q '^# Written by restic-manager-agent install' "$rm_own"; then
		rm_say "The unit $rm_own is somebody's own, and stays as it is."
	elif [ "$rm_kind" = binary ] && "$rm_agent" install --help >/dev/null 2>&1; then
		"$rm_agent" install --state "$rm_state" || rm_die "the agent is enrolled, and does not start with the machine yet; why stands above.
Once that is mended, run: $rm_agent install && $rm_agent start"
	fi
	if [ -n "$rm_token$rm_there" ]; then # a program that was replaced runs on until it is restarted
		if rm_has systemctl && [ -d /run/systemd/system ]; then
			systemctl daemon-reload
			if ! { systemctl enable restic-manager-agent && systemctl restart restic-manager-agent; }; then
				rm_die "the host is enrolled, and the agent does not start: see journalctl -u restic-manager-agent"
			fi
		elif rm_has rc-service; then
			if ! { rc-update add restic-manager-agent default && rc-service restic-manager-agent restart; }; then
				rm_die "the host is enrolled, and the agent does not start: see rc-service restic-manager-agent status"
			fi
		else
			rm_warn "no service manager that is known here starts the agent. Have this run with the machine:
  $rm_agent run --state $rm_state"
		fi
		if [ -n "$rm_token" ]; then
			rm_say "Done. The page Add host goes on from here: choose what to back up."
		else
			rm_say "Done. The agent was restarted, and what it was doing is told to the control plane as it is."
		fi
	fi
	if [ -n "$rm_found" ]; then
		rm_warn "restic already runs on this host by itself:$rm_found
Both go on side by side, and may lock each other out of one repository. Take these away once backups from here have succeeded."
	fi
}

rm_install "$@"
