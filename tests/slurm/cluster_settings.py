"""The configuration files of a test cluster."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

NODES = ("n1", "n2")
CPUS, MEMORY_MB, GPUS = 6, 8000, 2
"""Of each node, as SLURM sees it, whatever the machine has."""


def user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def slurm_conf(folder: Path, ports: Mapping[str, int], accounting: bool, changes: Mapping[str, str]) -> str:
    """slurm.conf; `changes` replace or add lines by their keys."""
    lines = {
        "ClusterName": folder.name,
        # "localhost" and the two NoInAddrAny keep every listening socket on the loopback interface.
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": str(ports["slurmctld"]),
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "SlurmUser": user(),
        "SlurmdUser": user(),
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        # A requeued job has to wait until its old credential has expired; by default that is two minutes.
        "AuthInfo": f"socket={folder}/munged/socket,cred_expire=5",
        "StateSaveLocation": f"{folder}/slurmctld",
        "SlurmctldPidFile": f"{folder}/slurmctld/pid",
        "SlurmctldLogFile": f"{folder}/slurmctld/log",
        "SlurmdSpoolDir": f"{folder}/%n",
        "SlurmdPidFile": f"{folder}/%n/pid",
        "SlurmdLogFile": f"{folder}/%n/log",
        # No cgroups: slurmstepd looks at the memory of a job's processes itself, once a second.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "task=1",
        "JobAcctGatherParams": "OverMemoryKill",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        # Six processors and two GPUs a node on whatever machine this is.
        "SlurmdParameters": "config_overrides",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU_Memory",
        "DefMemPerCPU": str(MEMORY_MB // CPUS),
        "GresTypes": "gpu",
        # A node that died is noticed after about 20 s, and is used again as soon as it is back.
        "SlurmdTimeout": "10",
        "ReturnToService": "2",
        "KillWait": "5",
        "MinJobAge": "300",
        "MaxArraySize": "1001",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,bf_interval=1",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
    }
    if accounting:
        lines |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePass": f"{folder}/munged/socket",
            "AccountingStoragePort": str(ports["slurmdbd"]),
            "AccountingStorageTRES": "gres/gpu",
        }
    text = "".join(f"{key}={value}\n" for key, value in (lines | dict(changes)).items())
    for node in NODES:
        text += f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[node]}"
        text += f" CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:{GPUS}\n"
    everywhere = f"Nodes={','.join(NODES)} MaxTime=INFINITE"
    text += f"PartitionName=main {everywhere} Default=YES PriorityTier=1 PreemptMode=REQUEUE\n"
    text += f"PartitionName=urgent {everywhere} PriorityTier=2 PreemptMode=OFF\n"
    return text


def gres_conf(folder: Path) -> str:
    return f"AutoDetect=off\nName=gpu File={folder}/gpu[0-{GPUS - 1}]\n"


def slurmdbd_conf(folder: Path, ports: Mapping[str, int], password: str) -> str:
    return f"""AuthType=auth/munge
AuthInfo=socket={folder}/munged/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports["slurmdbd"]}
SlurmUser={user()}
PidFile={folder}/slurmdbd/pid
LogFile={folder}/slurmdbd/log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports["mariadbd"]}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
CommunicationParameters=NoInAddrAny
"""


def mariadb_sql(password: str) -> str:
    return f"""CREATE DATABASE IF NOT EXISTS slurm;
CREATE USER IF NOT EXISTS slurm@127.0.0.1 IDENTIFIED BY '{password}';
GRANT ALL ON slurm.* TO slurm@127.0.0.1;
"""
