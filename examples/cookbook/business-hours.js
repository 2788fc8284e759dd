// Business hours: the strong models while people work, the cheap ones at night and at weekends.
let hours;

export function configure(settings) {
  hours = { from: 8, to: 18, days: [1, 2, 3, 4, 5], utcOffset: 0, ...settings };
}

export function decide(request) {
  // The clock is UTC; summer time is not known here.
  const local = new Date(request.nowMs + hours.utcOffset * 3_600_000);
  const isOpen = hours.days.includes(local.getUTCDay())
    && local.getUTCHours() >= hours.from && local.getUTCHours() < hours.to;
  return isOpen
    ? { prefer: "tag:strong", reason: "business hours" }
    : { prefer: "tag:cheap", reason: "outside business hours" };
}
