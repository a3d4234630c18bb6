"""All rows of the fault matrix."""

from tests.faults.account_faults import ACCOUNT_FAULTS
from tests.faults.body_faults import BODY_FAULTS
from tests.faults.connection_faults import CONNECTION_FAULTS
from tests.faults.redis_faults import REDIS
from tests.faults.served import SERVED, Served
from tests.faults.stage import Fault

FAULTS: tuple[Fault, ...] = (*CONNECTION_FAULTS, *BODY_FAULTS, *ACCOUNT_FAULTS)
RUNNING: tuple[Served, ...] = (*SERVED, *REDIS)  # those of a server that runs
