from django.db import migrations, models

# Hours that fill are put together of minutes: those that began before now have their minutes counted first. A recorder
# of the release before cannot write marks any more: its batch stays in the stream until this release takes it.
MARK_HOURS_THAT_FILL = """
INSERT INTO billing_rollupmark (account_id, minute)
SELECT DISTINCT account_id, date_trunc('minute', occurred_at, 'UTC') FROM billing_usageevent
WHERE occurred_at >= date_trunc('hour', now(), 'UTC') - interval '1 hour'
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_restrictions'),
        ('billing', '0016_usage_names_its_quote'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('period', models.CharField(max_length=7)),
                ('api_key_id', models.UUIDField(null=True)),
                ('model', models.CharField(max_length=200)),
                ('task', models.CharField(max_length=40)),
                ('upstream', models.CharField(max_length=60)),
                ('currency', models.CharField(max_length=3)),
                ('calls', models.PositiveIntegerField(default=0)),
                ('charged_calls', models.PositiveIntegerField(default=0)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('quantities', models.JSONField(default=dict)),
                ('nano_cost', models.BigIntegerField(default=0)),
                ('upstream_nano_cost', models.BigIntegerField(default=0)),
                ('minute', models.DateTimeField(verbose_name='minute')),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=models.deletion.PROTECT, related_name='+', to='accounts.account')),
            ],
            options={
                'verbose_name': 'total of a minute',
                'verbose_name_plural': 'totals of minutes',
                'indexes': [models.Index(fields=['minute'], name='minutes_by_time')],
                'constraints': [models.UniqueConstraint(fields=('account', 'minute', 'period', 'api_key_id', 'model', 'task', 'upstream', 'currency'), name='one_total_per_minute', nulls_distinct=False)],
            },
        ),
        migrations.RenameField(model_name='rollupmark', old_name='hour', new_name='minute'),
        migrations.AlterField(
            model_name='rollupmark',
            name='minute',
            field=models.DateTimeField(verbose_name='minute'),
        ),
        migrations.AlterModelOptions(
            name='rollupmark',
            options={'verbose_name': 'minute to total', 'verbose_name_plural': 'minutes to total'},
        ),
        migrations.RunSQL(MARK_HOURS_THAT_FILL, migrations.RunSQL.noop),
    ]
