import type { Received as ReceivedByPage } from '../core.js';
import { type Plan as PlanOfKind, SpanKind } from '../plans.js';

/** A span that the host makes, its kind by its name. */
export type Plan = PlanOfKind<keyof typeof SpanKind>;

type Opened = NonNullable<ReceivedByPage['opened']>;
/** What a received message gives to the host. */
export type Received = Omit<ReceivedByPage, 'opened'> & { opened?: Omit<Opened, 'plan'> & { plan: Plan } };

export const withName = (plan: PlanOfKind): Plan => ({ ...plan, kind: SpanKind[plan.kind] as Plan['kind'] });
