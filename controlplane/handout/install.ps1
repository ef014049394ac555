# Installs the agent of restic-manager on this Windows machine, and enrols it with a token:
#
#   & ([scriptblock]::Create((irm ADDRESS/install.ps1))) -Token TOKEN -Policy backup
#
# Without a token it installs, and says how to enrol. Nothing in here is secret, and nothing
# is done before the last line, which calls the one function: a script that was cut short
# does nothing.
function Install-ResticManagerAgent {
    [CmdletBinding()]
    param(
        [string] $Token = '',
        [string] $TokenFile = '',
        [ValidateSet('backup', 'restore', 'keeper', 'managed')] [string] $Policy = 'backup',
        [string[]] $RestoreRoot = @(),
        [string[]] $BackupRoot = @(),
        [string[]] $Repository = @(),
        [string[]] $RepositoryRoot = @(),
        [switch] $Again
    )
    $ErrorActionPreference = 'Stop'
    $ProgressPreference = 'SilentlyContinue' # the bar makes downloads slow

    $files = '@FILES@'
    $agents = '@AGENTS@'
    $problem = '@PROBLEM@'
    # system, processor, kind, SHA-256 and name of each file
    $table = '@TABLE@'

    if ($problem) {
        if (-not $files -or -not $table -or '@PIN@') { throw "restic-manager: $problem Nothing was changed." }
        Write-Warning $problem
    }
    if ($env:OS -ne 'Windows_NT') { throw 'This script is for Windows; for Linux there is install.sh. Nothing was changed.' }
    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Only an administrator can install the agent: open PowerShell by "Run as administrator". Nothing was changed.'
    }
    if ($TokenFile) { $Token = "$(Get-Content -Raw -LiteralPath $TokenFile)".Trim() }
    if (($Token -or $TokenFile) -and -not $Token.StartsWith('rmt1_')) {
        throw 'This is no enrolment token; copy it whole, it begins with rmt1_. Nothing was changed.'
    }
    if ($Policy -eq 'restore' -and -not $RestoreRoot) {
        throw 'The policy restore needs -RestoreRoot DIR: say below which directory restores may write. Nothing was changed.'
    }
    $enrolled = Test-Path -LiteralPath (Join-Path $env:ProgramData 'restic-manager-agent\identity.json')
    if ($Token -and $enrolled -and -not $Again) { # enroll would say no, after its agent was replaced
        throw 'This machine is enrolled already. Nothing was changed, and the token is still good. To install this server''s agent over the ' +
        'one that is here, run this without -Token. To give the machine new keys, have a token made for it on its page, and add -Again.'
    }
    $tls = [int] [Net.ServicePointManager]::SecurityProtocol
    if ($tls) { [Net.ServicePointManager]::SecurityProtocol = $tls -bor 3072 } # TLS 1.2; 0 is what Windows thinks best

    $machine = $env:PROCESSOR_ARCHITEW6432
    if (-not $machine) { $machine = $env:PROCESSOR_ARCHITECTURE }
    switch ($machine) {
        'AMD64' { $arch = 'amd64' }
        'ARM64' { $arch = 'arm64' }
        'x86' { $arch = '386' }
        default { throw "There is no agent for the processor $machine. Nothing was changed." }
    }
    $rows = @($table -split "`n" | Where-Object { $_ } | ForEach-Object {
            $part = $_.Trim() -split ' '
            New-Object psobject -Property @{ OS = $part[0]; Arch = $part[1]; Kind = $part[2]; Sum = $part[3]; Name = $part[4] }
        })
    $file = $null
    $candidates = @($arch)
    if ($arch -eq 'arm64') { $candidates += 'amd64' } # Windows runs these, too
    foreach ($candidate in $candidates) {
        foreach ($kind in 'msi', 'zip', 'binary') {
            if (-not $file) {
                $file = $rows | Where-Object { $_.OS -eq 'windows' -and $_.Arch -eq $candidate -and $_.Kind -eq $kind } | Select-Object -First 1
            }
        }
    }
    if (-not $file) {
        $missing = $candidates | ForEach-Object { "restic-manager-agent_VERSION_windows_$_" + $(if ($_ -eq 'amd64') { '.msi' } else { '.exe' }) }
        throw "The control plane has no agent for Windows on $arch. Nothing was changed. Put $($missing -join ' or ') " +
        '(VERSION is the version of the release) into its directory of agents, fetch this script anew and run it again.'
    }

    $at = $agents.LastIndexOf(':')
    $why = 'the name leads nowhere'
    try {
        foreach ($address in [Net.Dns]::GetHostAddresses($agents.Substring(0, $at).Trim('[', ']'))) {
            if (-not $why) { break }
            $client = New-Object Net.Sockets.TcpClient $address.AddressFamily # one without a family knows no IPv6
            try {
                $dial = $client.BeginConnect($address, [int] $agents.Substring($at + 1), $null, $null)
                if (-not $dial.AsyncWaitHandle.WaitOne(15000)) { throw 'nobody answers' }
                $client.EndConnect($dial)
                $why = ''
            } catch { $why = $_.Exception.Message } finally { $client.Close() }
        }
    } catch { $why = $_.Exception.Message }
    if ($why) {
        throw "This machine does not reach the control plane's port for agents at $agents ($why). Nothing was changed. " +
        'Check that the name leads there, and that a firewall between lets TCP through to that port; then run this again.'
    }

    $existing = @()
    try {
        $existing = @(Get-ScheduledTask | Where-Object {
                $_.Actions | Where-Object { "$($_.Execute) $($_.Arguments)" -match 'restic' -and "$($_.Execute)" -notmatch 'restic-manager' }
            } | ForEach-Object { "$($_.TaskPath)$($_.TaskName)" })
    } catch { Write-Verbose "Scheduled tasks cannot be listed: $_" }

    # For the administrators alone: what lies here is looked at, and then run by SYSTEM.
    $dir = Join-Path $env:SystemRoot ('Temp\' + [guid]::NewGuid().ToString('N'))
    $null = New-Item -ItemType Directory -Path $dir
    try {
        $null = icacls.exe $dir /setowner '*S-1-5-32-544' /q
        $null = icacls.exe $dir /inheritance:r /grant:r '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' /q
        if ($LASTEXITCODE -ne 0) { throw "The directory $dir cannot be closed to other users. Nothing was changed." }
        $path = Join-Path $dir $file.Name
        Write-Output "Downloading $($file.Name)"
        try { Invoke-WebRequest -UseBasicParsing -Uri ($files + $file.Name) -OutFile $path } catch {
            throw "The agent could not be downloaded from $files$($file.Name) ($($_.Exception.Message)). Nothing was changed. " +
            'Fetch this script anew and run it again: the control plane may have another version by now.'
        }
        $got = (Get-FileHash -Algorithm SHA256 -LiteralPath $path).Hash.ToLowerInvariant()
        if ($got -ne $file.Sum) {
            throw "What was downloaded is not what the control plane has: its SHA-256 is $got in place of $($file.Sum). Nothing was changed. " +
            'Fetch this script anew and run it again; if that does not help, somebody between changes it.'
        }
        Write-Output "Installing $($file.Name)"
        $programs = $env:ProgramW6432 # that of a 32-bit PowerShell is another one
        if (-not $programs) { $programs = $env:ProgramFiles }
        $home0 = Join-Path $programs 'restic-manager-agent'
        $agent = Join-Path $home0 'restic-manager-agent.exe'
        if ($file.Kind -eq 'msi') {
            $run = Start-Process -Wait -PassThru msiexec.exe -ArgumentList '/i', "`"$path`"", '/qn', '/norestart'
            $code = $run.ExitCode
            if ($code -eq 1618) { throw 'Another installation is under way on this machine. Nothing was changed. Run this again when it has ended.' }
            if (0, 1641, 3010 -notcontains $code) {
                throw "Installing failed: msiexec ended with $code; Windows' log of applications says why, under MsiInstaller. " +
                'What was here before is here still, and a token is as good as before.'
            }
            if ($code -ne 0) { Write-Warning 'Windows wants to be restarted before all of the new version is in its place.' }
        } else {
            $null = New-Item -ItemType Directory -Force -Path $home0
            # What runs cannot be written over; there may be no service yet, which is no failure.
            if (Test-Path -LiteralPath $agent) { $ErrorActionPreference = 'Continue'; $null = & $agent stop 2>&1; $ErrorActionPreference = 'Stop' }
            if ($file.Kind -eq 'zip') { Expand-Archive -Force -LiteralPath $path -DestinationPath $home0 }
            else { Copy-Item -Force -LiteralPath $path -Destination $agent }
        }
        if (-not (Test-Path -LiteralPath $agent)) { throw "The package was installed, and $agent is not there." }
        if (-not (Get-Command restic -ErrorAction SilentlyContinue) -and -not (Test-Path (Join-Path $home0 'restic.exe'))) {
            Write-Warning "restic is not here, and nothing is backed up before it is: put restic.exe into $home0 or on the PATH of the system."
        }

        # From here on exit statuses decide. What a program says on its second output is an
        # error to PowerShell, in some of its windows.
        $ErrorActionPreference = 'Continue'
        $words = @('--policy', $Policy)
        foreach ($d in $RestoreRoot) { $words += '--restore-root', $d }
        foreach ($d in $BackupRoot) { $words += '--backup-root', $d }
        foreach ($d in $RepositoryRoot) { $words += '--repository-root', $d }
        foreach ($u in $Repository) { $words += '--repository', $u }
        if ($Again) { $words += '--again' }
        # A word with a space is put into quotes, and a last backslash would take the second one in.
        $words = @($words | ForEach-Object { if ($_ -match '\s') { $_.TrimEnd('\') } else { $_ } })
        $shown = $words | ForEach-Object { if ($_ -match '\s') { "'$_'" } else { $_ } }
        $enroll = "& '$agent' enroll --server $agents --token TOKEN $($shown -join ' ')"
        if ($Token) {
            $secret = Join-Path $dir 'token' # a command line is shown to others, and logged
            [IO.File]::WriteAllText($secret, $Token)
            & $agent enroll --server $agents --token-file $secret @words
            if ($LASTEXITCODE -ne 0) {
                if ($enrolled) { & $agent start }
                throw "The agent is installed, and the machine was not enrolled; why stands above. Once that is mended, run: $enroll"
            }
        }
        if ($Token -or $enrolled) {
            & $agent install
            if ($LASTEXITCODE -eq 0) { & $agent start }
            if ($LASTEXITCODE -ne 0) { throw "The machine is enrolled, and the agent does not start; why stands above. Then run: & '$agent' start" }
        }
    } finally { Remove-Item -Recurse -Force -LiteralPath $dir -ErrorAction SilentlyContinue }

    if ($Token) { Write-Output 'Done. The page Add host goes on from here: choose what to back up.' }
    elseif ($enrolled) { Write-Output 'The agent is installed and runs. The machine is enrolled already: who it is and what it permits stay as they are.' }
    else { Write-Output "The agent is installed and not enrolled. Make a token on the page Add host, and run: $enroll" }
    if ($existing) {
        Write-Warning ("restic already runs on this machine by itself, by the scheduled tasks $($existing -join ', '). " +
            'Both go on side by side. Take these away once backups from here have succeeded.')
    }
}

Install-ResticManagerAgent @args
